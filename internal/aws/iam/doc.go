// Package iam speaks the AWS IAM API.
package iam
