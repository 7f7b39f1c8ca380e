package protocols

import (
	"bytes"
	"math"
	"math/rand/v2"
	"testing"

	smithy "github.com/aws/smithy-go/encoding/cbor"

	"github.com/gust-dev/gust/internal/aws/cbor"
)

// tree makes a value at random, as smithy-go has them, and appends it as Gust
// writes it.
func tree(r *rand.Rand, dst []byte, depth int) (smithy.Value, []byte) {
	kinds := 9
	if depth == 0 {
		kinds = 7
	}
	n := int64(r.Uint64()) >> r.IntN(64)
	switch r.IntN(kinds) {
	case 0:
		if n < 0 {
			return smithy.NegInt(-n), cbor.AppendInt(dst, n)
		}
		return smithy.Uint(n), cbor.AppendInt(dst, n)
	case 1:
		f := math.Float64frombits(r.Uint64())
		return smithy.Float64(f), cbor.AppendFloat(dst, f)
	case 2:
		f := math.Float32frombits(r.Uint32())
		return smithy.Float32(f), cbor.AppendFloat32(dst, f)
	case 3:
		return smithy.Bool(n < 0), cbor.AppendBool(dst, n < 0)
	case 4:
		return &smithy.Nil{}, append(dst, 0xf6)
	case 5:
		s := string(rune('a' + r.IntN(26)))
		return smithy.String(s), cbor.AppendText(dst, s)
	case 6:
		b := make([]byte, r.IntN(300))
		return smithy.Slice(b), cbor.AppendBytes(dst, b)
	case 7:
		list := make(smithy.List, r.IntN(30))
		dst = cbor.AppendList(dst, len(list))
		for i := range list {
			list[i], dst = tree(r, dst, depth-1)
		}
		return list, dst
	}
	m := smithy.Map{}
	v, b := tree(r, nil, depth-1)
	m["key"] = v
	return m, append(cbor.AppendText(cbor.AppendMap(dst, 1), "key"), b...)
}

// skip reads a value, whatever it is.
func skip(r *cbor.Reader) error {
	kind, err := r.Peek()
	if err != nil {
		return err
	}
	switch kind {
	case cbor.Int:
		_, err = r.Int()
	case cbor.Float:
		_, err = r.Float()
	case cbor.Bool:
		_, err = r.Bool()
	case cbor.Bytes:
		_, err = r.Bytes()
	case cbor.Text:
		_, err = r.Text()
	case cbor.Null:
		_, err = r.Null()
	case cbor.List:
		for err = r.List(); err == nil && r.More(); {
			err = skip(r)
		}
	case cbor.Map:
		for err = r.Map(); err == nil && r.More(); {
			if _, err = r.Key(); err == nil {
				err = skip(r)
			}
		}
	}
	return err
}

// TestCBORAsTheSDKHasIt: what Gust writes is what AWS's SDK writes, and each reads
// the other's.
func TestCBORAsTheSDKHasIt(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for range 3000 {
		v, ours := tree(r, nil, 5)
		theirs := smithy.Encode(v)
		if !bytes.Equal(ours, theirs) {
			t.Fatalf("%#v is\n%x, and with the SDK\n%x", v, ours, theirs)
		}
		if _, err := smithy.Decode(ours); err != nil {
			t.Fatal(err)
		}
		reader := cbor.NewReader(theirs)
		if err := skip(reader); err != nil {
			t.Fatalf("%x: %v", theirs, err)
		}
		if err := reader.End(); err != nil {
			t.Fatalf("%x: %v", theirs, err)
		}
	}
}
