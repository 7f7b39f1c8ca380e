// Package sts speaks the AWS Security Token Service API.
package sts
