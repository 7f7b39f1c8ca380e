# Every IAM resource of Terraform's provider for AWS that Gust carries out, and the
# data sources that read them. Changed is the second generation of what changes.

terraform {
  required_providers {
    aws = { source = "hashicorp/aws" }
  }
}

variable "changed" { type = bool }
variable "function" { type = string }

provider "aws" {
  default_tags { tags = { managed-by = "terraform" } }
}

data "aws_caller_identity" "me" {}
data "aws_partition" "here" {}
data "aws_region" "here" {}
data "aws_iam_session_context" "me" { arn = data.aws_caller_identity.me.arn }
data "aws_iam_policy" "by_name" { name = "AWSLambdaBasicExecutionRole" }

data "aws_iam_policy_document" "trust" {
  statement {
    actions = ["sts:AssumeRole"]
    principals {
      type        = "Service"
      identifiers = ["lambda.amazonaws.com"]
    }
    principals {
      type        = "AWS"
      identifiers = [aws_iam_user.one.arn]
    }
  }
}

# Characters that mean something else in a form, and in the escaped answer.
data "aws_iam_policy_document" "objects" {
  statement {
    actions   = var.changed ? ["s3:GetObject", "s3:PutObject"] : ["s3:GetObject"]
    resources = ["arn:${data.aws_partition.here.partition}:s3:::bucket/*"]
    condition {
      test     = "StringEquals"
      variable = "aws:PrincipalTag/team"
      values   = ["a + b & c = %41 é"]
    }
  }
}

resource "aws_iam_account_alias" "this" {
  account_alias = var.changed ? "gust-second" : "gust-first"
}

resource "aws_iam_user" "one" {
  name                 = "tf-one"
  path                 = var.changed ? "/two/" : "/one/"
  force_destroy        = true
  permissions_boundary = var.changed ? aws_iam_policy.bound.arn : null
  tags                 = { team = var.changed ? "a + b = c é" : "none" }
}

resource "aws_iam_access_key" "one" {
  user   = aws_iam_user.one.name
  status = var.changed ? "Inactive" : "Active"
}

resource "aws_iam_user_policy" "one" {
  user   = aws_iam_user.one.name
  policy = data.aws_iam_policy_document.objects.json
}

resource "aws_iam_user_policy_attachment" "one" {
  user       = aws_iam_user.one.name
  policy_arn = aws_iam_policy.objects.arn
}

resource "aws_iam_user_group_membership" "one" {
  user   = aws_iam_user.one.name
  groups = [aws_iam_group.second.name]
}

resource "aws_iam_group" "first" { name = "tf-first" }
resource "aws_iam_group" "second" { name = "tf-second" }
resource "aws_iam_group" "third" { name = var.changed ? "tf-third-renamed" : "tf-third" }

resource "aws_iam_group_membership" "first" {
  name  = "first"
  group = aws_iam_group.first.name
  users = [aws_iam_user.one.name]
}

resource "aws_iam_group_policy" "first" {
  group  = aws_iam_group.first.name
  policy = data.aws_iam_policy_document.objects.json
}

resource "aws_iam_group_policy_attachment" "first" {
  group      = aws_iam_group.first.name
  policy_arn = aws_iam_policy.objects.arn
}

resource "aws_iam_policy" "objects" {
  name_prefix = "tf-objects-"
  description = "objects"
  policy      = data.aws_iam_policy_document.objects.json
}

resource "aws_iam_policy" "bound" {
  name   = "tf-bound"
  path   = "/bounds/"
  policy = jsonencode({ Version = "2012-10-17", Statement = [{ Effect = "Allow", Action = "s3:*", Resource = "*" }] })
}

resource "aws_iam_policy_attachment" "bound" {
  name       = "everywhere"
  policy_arn = aws_iam_policy.bound.arn
  users      = [aws_iam_user.one.name]
  roles      = [aws_iam_role.worker.name]
  groups     = [aws_iam_group.first.name]
}

resource "aws_iam_role" "worker" {
  name                 = "tf-worker"
  assume_role_policy   = data.aws_iam_policy_document.trust.json
  max_session_duration = var.changed ? 7200 : 3600
  description          = var.changed ? "second" : "first"
}

resource "aws_iam_role_policy" "worker" {
  role   = aws_iam_role.worker.id
  policy = data.aws_iam_policy_document.objects.json
}

resource "aws_iam_role_policy_attachment" "worker" {
  role       = aws_iam_role.worker.name
  policy_arn = data.aws_iam_policy.by_name.arn
}

resource "aws_iam_role_policies_exclusive" "worker" {
  role_name    = aws_iam_role.worker.name
  policy_names = [aws_iam_role_policy.worker.name]
}

resource "aws_iam_role_policy_attachments_exclusive" "worker" {
  role_name   = aws_iam_role.worker.name
  policy_arns = [aws_iam_role_policy_attachment.worker.policy_arn, aws_iam_policy.bound.arn]
  depends_on  = [aws_iam_policy_attachment.bound]
}

resource "aws_iam_service_linked_role" "scaling" {
  aws_service_name = "autoscaling.amazonaws.com"
  custom_suffix    = "tf"
  description      = var.changed ? "second" : "first"
}

resource "aws_iam_virtual_mfa_device" "phone" {
  virtual_mfa_device_name = "tf-phone"
  path                    = "/tf/"
  tags                    = { kind = var.changed ? "watch" : "phone" }
}

resource "aws_iam_openid_connect_provider" "issuer" {
  url             = "https://issuer.example.com"
  client_id_list  = var.changed ? ["app", "other"] : ["app"]
  thumbprint_list = ["0123456789abcdef0123456789abcdef01234567"]
}

resource "aws_lambda_permission" "topic" {
  action        = "lambda:InvokeFunction"
  function_name = var.function
  principal     = "sns.amazonaws.com"
  source_arn    = "arn:aws:sns:us-east-1:000000000000:${var.changed ? "second" : "first"}"
}

data "aws_iam_account_alias" "this" { depends_on = [aws_iam_account_alias.this] }
data "aws_iam_users" "all" { depends_on = [aws_iam_user.one] }
data "aws_iam_user" "one" { user_name = aws_iam_user.one.name }
data "aws_iam_roles" "all" { depends_on = [aws_iam_role.worker] }
data "aws_iam_role" "worker" { name = aws_iam_role.worker.name }
data "aws_iam_openid_connect_provider" "issuer" { arn = aws_iam_openid_connect_provider.issuer.arn }

data "aws_iam_group" "first" {
  group_name = aws_iam_group.first.name
  depends_on = [aws_iam_group_membership.first]
}

data "aws_iam_access_keys" "one" {
  user       = aws_iam_user.one.name
  depends_on = [aws_iam_access_key.one]
}

data "aws_iam_principal_policy_simulation" "one" {
  action_names      = ["s3:GetObject"]
  resource_arns     = ["arn:aws:s3:::bucket/x"]
  policy_source_arn = aws_iam_user.one.arn
  depends_on        = [aws_iam_user_policy_attachment.one, aws_iam_policy_attachment.bound]
}

output "seen" {
  value = {
    me      = data.aws_caller_identity.me.arn
    issuer  = data.aws_iam_session_context.me.issuer_arn
    managed = data.aws_iam_policy.by_name.arn
    alias   = data.aws_iam_account_alias.this.account_alias
    user    = data.aws_iam_user.one.arn
    bound   = data.aws_iam_user.one.permissions_boundary
    members = [for u in data.aws_iam_group.first.users : u.user_name]
    keys    = [for k in data.aws_iam_access_keys.one.access_keys : k.status]
    longest = data.aws_iam_role.worker.max_session_duration
    clients = data.aws_iam_openid_connect_provider.issuer.client_id_list
    allowed = data.aws_iam_principal_policy_simulation.one.all_allowed
  }
}
