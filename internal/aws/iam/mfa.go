package iam

import (
	"bytes"
	"cmp"
	"context"
	"image"
	"image/color"
	"image/png"
	"net/url"

	"github.com/boombuler/barcode/qr"

	"github.com/gust-dev/gust/internal/access/identity"
	"github.com/gust-dev/gust/internal/aws/wire"
)

func (s *server) devices() []wire.Operation {
	const paired = "two codes that follow each other, of a clock that is up to 5 minutes off"
	noted := func(o wire.Operation, note string) wire.Operation {
		o.Note = note
		return o
	}
	return []wire.Operation{
		noted(operation(s, wire.Write, "CreateVirtualMFADevice", subject{kind: identity.KindDevice, member: "VirtualMFADeviceName", makes: true}, s.createDevice),
			"codes of 6 digits by RFC 6238, with SHA-1, each 30 seconds"),
		noted(operation(s, wire.Write, "EnableMFADevice", ofUser, done(func(ctx context.Context, in *EnableMFADeviceRequest) error {
			return s.Directory.EnableMFADevice(ctx, in.UserName, in.SerialNumber, in.AuthenticationCode1, in.AuthenticationCode2)
		})), paired),
		noted(operation(s, wire.Write, "ResyncMFADevice", ofUser, done(func(ctx context.Context, in *ResyncMFADeviceRequest) error {
			return s.Directory.ResyncMFADevice(ctx, in.UserName, in.SerialNumber, in.AuthenticationCode1, in.AuthenticationCode2)
		})), paired),
		operation(s, wire.Write, "DeactivateMFADevice", ofSelf, done(func(ctx context.Context, in *DeactivateMFADeviceRequest) error {
			user, err := s.self(ctx, in.UserName)
			if err != nil {
				return err
			}
			return s.Directory.DeactivateMFADevice(ctx, user.Name, in.SerialNumber)
		})),
		operation(s, wire.Write, "DeleteVirtualMFADevice", ofDevice, done(func(ctx context.Context, in *DeleteVirtualMFADeviceRequest) error {
			return s.Directory.DeleteMFADevice(ctx, in.SerialNumber)
		})),
		noted(operation(s, wire.Read, "ListMFADevices", ofSelf, s.listDevices), "without a name those of the user who asks; root has none"),
		operation(s, wire.Read, "ListVirtualMFADevices", nothing, s.listVirtualDevices),
		operation(s, wire.Write, "TagMFADevice", ofDevice, done(func(ctx context.Context, in *TagMFADeviceRequest) error {
			return s.tag(ctx, identity.Device(in.SerialNumber), in.Tags)
		})),
		operation(s, wire.Write, "UntagMFADevice", ofDevice, done(func(ctx context.Context, in *UntagMFADeviceRequest) error {
			return s.Directory.Untag(ctx, identity.Device(in.SerialNumber), in.TagKeys)
		})),
		operation(s, wire.Read, "ListMFADeviceTags", ofDevice, func(_ context.Context, in *ListMFADeviceTagsRequest) (*ListMFADeviceTagsResponse, error) {
			m, err := s.Directory.MFADevice(in.SerialNumber)
			if err != nil {
				return nil, err
			}
			out := &ListMFADeviceTagsResponse{}
			out.Tags, out.IsTruncated, out.Marker, err = pageInOrder(tagsOf(m.Tags), in.Marker, in.MaxItems)
			return out, err
		}),
	}
}

// createDevice tells the seed twice, this once: in base32, and as the picture that
// apps scan.
func (s *server) createDevice(ctx context.Context, in *CreateVirtualMFADeviceRequest) (*CreateVirtualMFADeviceResponse, error) {
	tags, err := tagsIn(in.Tags)
	if err != nil {
		return nil, err
	}
	m, seed, err := s.Directory.CreateMFADevice(ctx, in.VirtualMFADeviceName, wire.Or(in.Path, ""), tags)
	if err != nil {
		return nil, err
	}
	label := m.Name + "@" + cmp.Or(s.Directory.Alias(), s.Place.Account)
	picture, err := qrCode("otpauth://totp/" + url.PathEscape(label) + "?secret=" + seed)
	if err != nil {
		return nil, err
	}
	return &CreateVirtualMFADeviceResponse{VirtualMFADevice: VirtualMFADevice{SerialNumber: m.Serial, Base32StringSeed: []byte(seed), QRCodePNG: picture, Tags: tagsOf(m.Tags)}}, nil
}

// qrCode is a text as a picture, black on white with the margin that readers want.
func qrCode(text string) ([]byte, error) {
	const scale, margin = 6, 4
	code, err := qr.Encode(text, qr.M, qr.Auto)
	if err != nil {
		return nil, err
	}
	size := code.Bounds().Dx()
	side := (size + 2*margin) * scale
	picture := image.NewPaletted(image.Rect(0, 0, side, side), color.Palette{color.White, color.Black})
	for y := range side {
		for x := range side {
			at := image.Pt(x/scale-margin, y/scale-margin)
			if at.In(code.Bounds()) && color.Gray16Model.Convert(code.At(at.X, at.Y)) == color.Black {
				picture.SetColorIndex(x, y, 1)
			}
		}
	}
	var buf bytes.Buffer
	err = png.Encode(&buf, picture)
	return buf.Bytes(), err
}

func (s *server) listDevices(ctx context.Context, in *ListMFADevicesRequest) (*ListMFADevicesResponse, error) {
	var list []*identity.MFADevice
	user, err := s.self(ctx, in.UserName)
	if err == nil {
		list, err = s.Directory.MFADevicesOf(user.Name)
	}
	if err != nil {
		return nil, err
	}
	list, more, marker, err := page(list, func(m *identity.MFADevice) string { return m.Serial }, in.Marker, in.MaxItems)
	return &ListMFADevicesResponse{IsTruncated: more, Marker: marker, MFADevices: each(list, func(m *identity.MFADevice) MFADevice {
		return MFADevice{UserName: user.Name, SerialNumber: m.Serial, EnableDate: second(m.Enabled)}
	})}, err
}

func (s *server) listVirtualDevices(_ context.Context, in *ListVirtualMFADevicesRequest) (*ListVirtualMFADevicesResponse, error) {
	wanted := wire.Or(in.AssignmentStatus, "Any")
	devices, users := s.Directory.MFADevices()
	list := []VirtualMFADevice{}
	for i, m := range devices {
		if wanted == "Assigned" && users[i] == nil || wanted == "Unassigned" && users[i] != nil {
			continue
		}
		d := VirtualMFADevice{SerialNumber: m.Serial}
		if users[i] != nil {
			u := user(users[i])
			u.Tags, u.PermissionsBoundary = nil, nil
			d.User, d.EnableDate = &u, new(second(m.Enabled))
		}
		list = append(list, d)
	}
	out := &ListVirtualMFADevicesResponse{}
	var err error
	out.VirtualMFADevices, out.IsTruncated, out.Marker, err = page(list, func(d VirtualMFADevice) string { return d.SerialNumber }, in.Marker, in.MaxItems)
	return out, err
}
