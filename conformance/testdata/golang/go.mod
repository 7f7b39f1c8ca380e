module example.com/golang

go 1.26.0

require github.com/aws/aws-lambda-go v1.55.1

require github.com/coder/websocket v1.8.15
