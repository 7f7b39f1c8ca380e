"""Drives the services of the tests with boto3, and says what came back."""

import datetime
import json
import sys

import boto3
import botocore.config
import botocore.exceptions
import urllib3

urllib3.disable_warnings()
endpoints, key, secret = json.loads(sys.argv[1]), sys.argv[2], sys.argv[3]


def client(name):
    config = botocore.config.Config(retries={"max_attempts": 0}, s3={"addressing_style": "path"})
    return boto3.client(name, endpoint_url=endpoints[name], region_name="us-east-1", aws_access_key_id=key, aws_secret_access_key=secret, verify=False, config=config)


def error(call, **arguments):
    try:
        call(**arguments)
    except botocore.exceptions.ClientError as e:
        return "%s %s %s" % (e.response["ResponseMetadata"]["HTTPStatusCode"], e.response["Error"]["Code"], e.response["Error"]["Message"])
    return "none"


said = {}
s3 = client("s3")
name = "a/b c+d/\u00fc&<>\"'=?#%41"
for k in (name, "line\r\nbreak"):
    s3.put_object(Bucket="shelf", Key=k, Body=b"the body", Metadata={"colour": "blue"}, ContentType="text/x-own")
got = s3.get_object(Bucket="shelf", Key=name)
said["get"] = [got["Body"].read().decode(), got["Metadata"], got["ContentType"], got["LastModified"].isoformat(), "ChecksumCRC32" in got]
said["head"] = s3.head_object(Bucket="shelf", Key=name)["ContentLength"]
said["list"] = [o["Key"] for o in s3.list_objects_v2(Bucket="shelf")["Contents"]]
said["missing"] = error(s3.get_object, Bucket="shelf", Key="nobody")
said["headless"] = error(s3.head_object, Bucket="shelf", Key="nobody")
said["same"] = error(s3.get_object, Bucket="shelf", Key=name, IfNoneMatch=got["ETag"])
said["removed"] = [d["Key"] for d in s3.delete_objects(Bucket="shelf", Delete={"Objects": [{"Key": name}]})["Deleted"]]
s3.put_bucket_acl(Bucket="shelf", AccessControlPolicy={"Owner": {"ID": "me"}, "Grants": [{"Grantee": {"Type": "CanonicalUser", "ID": "me"}, "Permission": "READ"}]})
said["acl"] = s3.get_bucket_acl(Bucket="shelf")["Grants"]
events = s3.select_object_content(Bucket="shelf", Key="x", Expression="SELECT 1", ExpressionType="SQL", InputSerialization={"CSV": {"FieldDelimiter": ";"}},
                                  OutputSerialization={"JSON": {"RecordDelimiter": "\n"}})["Payload"]
said["select"] = [e.get("Records", {}).get("Payload", b"").decode() or next(iter(e)) for e in events]

metrics = client("cloudwatch")
at = datetime.datetime(2026, 3, 1, 1, 2, 3, 456000, datetime.timezone.utc)
metrics.put_metric_data(Namespace="shop", MetricData=[{"MetricName": "m", "Value": 0.5, "Timestamp": at, "Dimensions": [{"Name": "zone", "Value": "\u00e4"}]}] * 200)
result = metrics.get_metric_data(StartTime=at, EndTime=at, MetricDataQueries=[{"Id": "q", "Expression": "m"}])["MetricDataResults"][0]
said["metrics"] = [str(result["Values"][0]), result["Values"][1], result["Timestamps"][0].isoformat()]
said["reserved"] = error(metrics.put_metric_data, Namespace="AWS/own", MetricData=[])
said["refused"] = error(metrics.delete_alarms, AlarmNames=["a"])

table = client("dynamodb")
item = {"id": {"S": "one"}, "n": {"N": "-1.5"}, "b": {"B": b"\x00\xff"}, "l": {"L": [{"M": {}}, {"NULL": True}, {"BOOL": False}]}}
table.put_item(TableName="table", Item=item)
said["item"] = table.get_item(TableName="table", Key={"id": {"S": "one"}})["Item"] == item
said["condition"] = error(table.put_item, TableName="table", Item=item, ConditionExpression="attribute_not_exists(id)")

shards = client("kinesis")
consumer = "arn:aws:kinesis:us-east-1:000000000000:stream/s/consumer/c:1"


def read(shard):
    records = []
    try:
        for e in shards.subscribe_to_shard(ConsumerARN=consumer, ShardId=shard, StartingPosition={"Type": "LATEST"})["EventStream"]:
            records.append(e["SubscribeToShardEvent"]["Records"][0]["Data"].hex())
    except botocore.exceptions.EventStreamError as e:
        records.append(e.response["Error"]["Code"])
    return records


said["shard"] = read("whole")
said["busy"] = read("busy")
print(json.dumps(said))
