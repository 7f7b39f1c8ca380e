package iam

import (
	"bytes"
	"context"
	"encoding/csv"
	"strconv"
	"time"

	"github.com/gust-dev/gust/internal/access/identity"
)

// reportColumns are those of AWS's credential report.
var reportColumns = []string{"user", "arn", "user_creation_time", "password_enabled", "password_last_used", "password_last_changed", "password_next_rotation", "mfa_active",
	"access_key_1_active", "access_key_1_last_rotated", "access_key_1_last_used_date", "access_key_1_last_used_region", "access_key_1_last_used_service",
	"access_key_2_active", "access_key_2_last_rotated", "access_key_2_last_used_date", "access_key_2_last_used_region", "access_key_2_last_used_service",
	"cert_1_active", "cert_1_last_rotated", "cert_2_active", "cert_2_last_rotated"}

func (s *server) generateCredentialReport(context.Context, *none) (*GenerateCredentialReportResponse, error) {
	return &GenerateCredentialReportResponse{State: new("COMPLETE")}, nil
}

// getCredentialReport makes the report when it is asked for: it is one pass over
// what is in memory.
func (s *server) getCredentialReport(context.Context, *none) (*GetCredentialReportResponse, error) {
	var buf bytes.Buffer
	w := csv.NewWriter(&buf)
	rows := [][]string{reportColumns, s.reportRow("<root_account>", s.Place.IAM("root"), "not_supported", false, []*identity.AccessKey{{Active: true}})}
	for _, e := range s.Directory.Entities(identity.KindUser, "") {
		keys, err := s.Directory.Keys(e.Name)
		if err != nil {
			continue // the user was deleted meanwhile
		}
		devices, err := s.Directory.MFADevicesOf(e.Name)
		if err != nil {
			continue
		}
		rows = append(rows, s.reportRow(e.Name, e.ARN, reportTime(e.Created), len(devices) > 0, keys))
	}
	if err := w.WriteAll(rows); err != nil {
		return nil, err
	}
	return &GetCredentialReportResponse{Content: buf.Bytes(), ReportFormat: new("text/csv"), GeneratedTime: new(second(s.Now()))}, nil
}

// reportRow is a row of who has no password and no certificates, as nobody has
// here.
func (s *server) reportRow(user, arn, created string, factor bool, keys []*identity.AccessKey) []string {
	row := []string{user, arn, created, "false", "N/A", "N/A", "N/A", strconv.FormatBool(factor)}
	for i := range 2 {
		key := []string{"false", "N/A", "N/A", "N/A", "N/A"}
		if i < len(keys) {
			k := keys[i]
			key[0] = strconv.FormatBool(status(k) == "Active")
			if !k.Created.IsZero() {
				key[1] = reportTime(k.Created)
			}
			if k.Used != nil {
				key[2], key[3], key[4] = reportTime(k.Used.At), k.Used.Region, k.Used.Service
			}
		}
		row = append(row, key...)
	}
	return append(row, "false", "N/A", "false", "N/A")
}

func reportTime(t time.Time) string { return t.UTC().Format(time.RFC3339) }
