package protocols

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"
	"net/url"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awscloudwatch "github.com/aws/aws-sdk-go-v2/service/cloudwatch"
	cwtypes "github.com/aws/aws-sdk-go-v2/service/cloudwatch/types"
	awsdynamodb "github.com/aws/aws-sdk-go-v2/service/dynamodb"
	ddbtypes "github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	awskinesis "github.com/aws/aws-sdk-go-v2/service/kinesis"
	kinesistypes "github.com/aws/aws-sdk-go-v2/service/kinesis/types"
	awsssm "github.com/aws/aws-sdk-go-v2/service/ssm"
	ssmtypes "github.com/aws/aws-sdk-go-v2/service/ssm/types"
	"github.com/aws/smithy-go"

	"github.com/gust-dev/gust/conformance/protocols/cloudwatch"
	"github.com/gust-dev/gust/conformance/protocols/dynamodb"
	"github.com/gust-dev/gust/conformance/protocols/kinesis"
	"github.com/gust-dev/gust/conformance/protocols/ssm"
	"github.com/gust-dev/gust/internal/aws/wire"
	"github.com/gust-dev/gust/internal/aws/wire/wiretest"
)

// table is DynamoDB as far as the tests go: it keeps items by their id.
func table(t *testing.T) aws.Config {
	items := map[string]map[string]dynamodb.AttributeValue{}
	return serve(t, dynamodb.Model(),
		op("PutItem", func(_ context.Context, in *dynamodb.PutItemInput) (*dynamodb.PutItemOutput, error) {
			if old := items[*in.Item["id"].S]; old != nil && in.ConditionExpression != nil {
				return nil, &wire.Error{Name: "ConditionalCheckFailedException", Message: "The conditional request failed", Detail: &dynamodb.ConditionalCheckFailedException{Item: old}}
			}
			items[*in.Item["id"].S] = in.Item
			return &dynamodb.PutItemOutput{}, nil
		}),
		op("GetItem", func(_ context.Context, in *dynamodb.GetItemInput) (*dynamodb.GetItemOutput, error) {
			return &dynamodb.GetItemOutput{Item: items[*in.Key["id"].S]}, nil
		}))
}

// TestJSON10 keeps and returns values of every type, in one another.
func TestJSON10(t *testing.T) {
	client := awsdynamodb.NewFromConfig(table(t))
	deep := ddbtypes.AttributeValue(&ddbtypes.AttributeValueMemberS{Value: "deep"})
	for range 31 { // as deep as DynamoDB has it
		deep = &ddbtypes.AttributeValueMemberM{Value: map[string]ddbtypes.AttributeValue{"in": deep}}
	}
	item := map[string]ddbtypes.AttributeValue{
		"id": &ddbtypes.AttributeValueMemberS{Value: "one"}, "text": &ddbtypes.AttributeValueMemberS{Value: "\u00e4\u2028\"\\\x01\U0001f32c</>"}, "empty": &ddbtypes.AttributeValueMemberS{Value: ""},
		"number": &ddbtypes.AttributeValueMemberN{Value: "-1.5E-10"}, "bytes": &ddbtypes.AttributeValueMemberB{Value: []byte{0, 255}}, "none": &ddbtypes.AttributeValueMemberNULL{Value: true},
		"bool": &ddbtypes.AttributeValueMemberBOOL{Value: false}, "texts": &ddbtypes.AttributeValueMemberSS{Value: []string{"a", "b"}}, "numbers": &ddbtypes.AttributeValueMemberNS{Value: []string{"1", "2"}},
		"blobs": &ddbtypes.AttributeValueMemberBS{Value: [][]byte{{1}, {2}}}, "map": deep, "nothing": &ddbtypes.AttributeValueMemberL{Value: []ddbtypes.AttributeValue{}},
		"list": &ddbtypes.AttributeValueMemberL{Value: []ddbtypes.AttributeValue{&ddbtypes.AttributeValueMemberM{Value: map[string]ddbtypes.AttributeValue{}}, &ddbtypes.AttributeValueMemberN{Value: "1"}}},
	}
	put := &awsdynamodb.PutItemInput{TableName: aws.String("table"), Item: item}
	if _, err := client.PutItem(t.Context(), put); err != nil {
		t.Fatal(err)
	}
	got, err := client.GetItem(t.Context(), &awsdynamodb.GetItemInput{TableName: aws.String("table"), Key: map[string]ddbtypes.AttributeValue{"id": item["id"]}})
	if err != nil || !reflect.DeepEqual(got.Item, item) {
		t.Errorf("%v, %v", got, err)
	}
	put.ConditionExpression = aws.String("attribute_not_exists(id)")
	var failed *ddbtypes.ConditionalCheckFailedException
	if _, err := client.PutItem(t.Context(), put); !errors.As(err, &failed) || failed.ErrorMessage() != "The conditional request failed" || !reflect.DeepEqual(failed.Item, item) {
		t.Errorf("%v", err)
	}
	var api smithy.APIError
	if _, err := client.DescribeTable(t.Context(), &awsdynamodb.DescribeTableInput{TableName: aws.String("table")}); !errors.As(err, &api) || api.ErrorCode() != "UnknownOperationException" ||
		!strings.Contains(api.ErrorMessage(), "DescribeTable") {
		t.Errorf("%v", err)
	}
	delete(item, "id")
	put.TableName = aws.String("")
	if _, err := client.PutItem(t.Context(), put); !errors.As(err, &api) || api.ErrorCode() != "ValidationException" || !strings.Contains(api.ErrorMessage(), "tableName") {
		t.Errorf("%v", err)
	}
}

func TestJSON11(t *testing.T) {
	var kept *ssm.PutParameterRequest
	at := time.Date(2026, 3, 1, 1, 2, 3, 456e6, time.UTC)
	client := awsssm.NewFromConfig(serve(t, ssm.Model(),
		op("PutParameter", func(_ context.Context, in *ssm.PutParameterRequest) (*ssm.PutParameterResult, error) {
			kept = in
			return &ssm.PutParameterResult{Version: aws.Int64(7), Tier: in.Tier}, nil
		}),
		op("GetParameter", func(_ context.Context, in *ssm.GetParameterRequest) (*ssm.GetParameterResult, error) {
			if kept == nil || kept.Name != in.Name {
				return nil, &wire.Error{Name: "ParameterNotFound", Message: "there is none"}
			}
			return &ssm.GetParameterResult{Parameter: &ssm.Parameter{Name: &in.Name, Value: &kept.Value, Type: kept.Type, LastModifiedDate: &at, Version: aws.Int64(math.MaxInt64)}}, nil
		})))
	put, err := client.PutParameter(t.Context(), &awsssm.PutParameterInput{Name: aws.String("/a/b"), Value: aws.String("v"), Type: ssmtypes.ParameterTypeSecureString, Tier: ssmtypes.ParameterTierAdvanced,
		Tags: []ssmtypes.Tag{{Key: aws.String("k"), Value: aws.String("")}}})
	if err != nil || put.Version != 7 || put.Tier != ssmtypes.ParameterTierAdvanced || len(kept.Tags) != 1 {
		t.Errorf("%+v, %v", put, err)
	}
	got, err := client.GetParameter(t.Context(), &awsssm.GetParameterInput{Name: aws.String("/a/b")})
	if err != nil || *got.Parameter.Value != "v" || got.Parameter.Version != math.MaxInt64 || !got.Parameter.LastModifiedDate.Equal(at) || got.Parameter.Type != ssmtypes.ParameterTypeSecureString {
		t.Errorf("%+v, %v", got, err)
	}
	var missing *ssmtypes.ParameterNotFound
	if _, err := client.GetParameter(t.Context(), &awsssm.GetParameterInput{Name: aws.String("/none")}); !errors.As(err, &missing) || missing.ErrorMessage() != "there is none" {
		t.Errorf("%v", err)
	}
}

// metrics is CloudWatch as far as the tests go: it answers with what it was told.
func metrics(told *[]cloudwatch.MetricDatum) []wire.Operation {
	return []wire.Operation{
		op("PutMetricData", func(_ context.Context, in *cloudwatch.PutMetricDataInput) (*struct{}, error) {
			if in.Namespace == "AWS/own" {
				return nil, &wire.Error{Name: "InvalidParameterValueException", Message: "The value AWS/ is reserved"}
			}
			*told = in.MetricData
			return &struct{}{}, nil
		}),
		op("GetMetricData", func(_ context.Context, in *cloudwatch.GetMetricDataInput) (*cloudwatch.GetMetricDataOutput, error) {
			return &cloudwatch.GetMetricDataOutput{MetricDataResults: []cloudwatch.MetricDataResult{{Id: &in.MetricDataQueries[0].Id, Timestamps: []time.Time{in.StartTime, in.EndTime},
				Values: []float64{math.Inf(1), -0.1}, StatusCode: aws.String("Complete")}}}, nil
		}),
		op("ListMetrics", func(_ context.Context, in *cloudwatch.ListMetricsInput) (*cloudwatch.ListMetricsOutput, error) {
			return &cloudwatch.ListMetricsOutput{Metrics: []cloudwatch.Metric{{Namespace: in.Namespace, MetricName: aws.String("m"), Dimensions: []cloudwatch.Dimension{{Name: "a", Value: "1"}}}}}, nil
		}),
	}
}

func TestCBOR(t *testing.T) {
	var told []cloudwatch.MetricDatum
	client := awscloudwatch.NewFromConfig(serve(t, cloudwatch.Model(), metrics(&told)...))
	from, to := time.Date(2026, 3, 1, 1, 2, 3, 456e6, time.UTC), time.Date(1969, 12, 31, 0, 0, 0, 0, time.UTC)
	data := []cwtypes.MetricDatum{{MetricName: aws.String("orders"), Value: aws.Float64(0.1), Timestamp: &from, Unit: cwtypes.StandardUnitCount, StorageResolution: aws.Int32(1),
		Dimensions: []cwtypes.Dimension{{Name: aws.String("zone"), Value: aws.String("\u00e4")}}, StatisticValues: &cwtypes.StatisticSet{Maximum: aws.Float64(3), Minimum: aws.Float64(-1e300), SampleCount: aws.Float64(2), Sum: aws.Float64(2)}}}
	put := &awscloudwatch.PutMetricDataInput{Namespace: aws.String("shop"), MetricData: data}
	if _, err := client.PutMetricData(t.Context(), put); err != nil {
		t.Fatal(err)
	}
	if len(told) != 1 || told[0].MetricName != "orders" || *told[0].Value != 0.1 || !told[0].Timestamp.Equal(from) || *told[0].StorageResolution != 1 || told[0].Dimensions[0].Value != "\u00e4" ||
		told[0].StatisticValues.Minimum != -1e300 || *told[0].Unit != "Count" {
		t.Errorf("%+v", told)
	}
	// What is large comes in gzip.
	for len(put.MetricData) < 900 {
		put.MetricData = append(put.MetricData, data[0])
	}
	if _, err := client.PutMetricData(t.Context(), put); err != nil || len(told) != 900 {
		t.Errorf("%d of 900, %v", len(told), err)
	}
	got, err := client.GetMetricData(t.Context(), &awscloudwatch.GetMetricDataInput{StartTime: &from, EndTime: &to, MetricDataQueries: []cwtypes.MetricDataQuery{{Id: aws.String("q1"),
		MetricStat: &cwtypes.MetricStat{Metric: &cwtypes.Metric{MetricName: aws.String("m")}, Period: aws.Int32(60), Stat: aws.String("Sum")}}}})
	if err != nil || len(got.MetricDataResults) != 1 || !got.MetricDataResults[0].Timestamps[0].Equal(from) || !got.MetricDataResults[0].Timestamps[1].Equal(to) ||
		!math.IsInf(got.MetricDataResults[0].Values[0], 1) || got.MetricDataResults[0].Values[1] != -0.1 || got.MetricDataResults[0].StatusCode != cwtypes.StatusCodeComplete {
		t.Errorf("%+v, %v", got, err)
	}
	list, err := client.ListMetrics(t.Context(), &awscloudwatch.ListMetricsInput{Namespace: aws.String("shop")})
	if err != nil || len(list.Metrics) != 1 || *list.Metrics[0].Namespace != "shop" || *list.Metrics[0].Dimensions[0].Name != "a" {
		t.Errorf("%+v, %v", list, err)
	}
	put.Namespace = aws.String("AWS/own")
	var wrong *cwtypes.InvalidParameterValueException
	if _, err := client.PutMetricData(t.Context(), put); !errors.As(err, &wrong) || wrong.ErrorMessage() != "The value AWS/ is reserved" || wrong.ErrorCode() != "InvalidParameterValue" {
		t.Errorf("%v", err)
	}
	var api smithy.APIError
	if _, err := client.DeleteAlarms(t.Context(), &awscloudwatch.DeleteAlarmsInput{AlarmNames: []string{"a"}}); !errors.As(err, &api) || !strings.Contains(api.ErrorMessage(), "DeleteAlarms") {
		t.Errorf("%v", err)
	}
	put.Namespace = aws.String(":wrong")
	if _, err := client.PutMetricData(t.Context(), put); !errors.As(err, &api) || !strings.Contains(api.ErrorMessage(), "namespace") {
		t.Errorf("%v", err)
	}
}

// TestQuery: the same service answers to the query protocol, which older SDKs
// speak to it.
func TestQuery(t *testing.T) {
	var told []cloudwatch.MetricDatum
	cfg := serve(t, cloudwatch.Model(), metrics(&told)...)
	ask := func(form string) string {
		t.Helper()
		r, err := http.NewRequest("POST", *cfg.BaseEndpoint, strings.NewReader(form+"&Version=2010-08-01"))
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded; charset=utf-8")
		r.Header.Set("Authorization", wiretest.Bearer)
		w, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		defer w.Body.Close()
		b, err := io.ReadAll(w.Body)
		if err != nil {
			t.Fatal(err)
		}
		return fmt.Sprint(w.StatusCode, " ", string(b))
	}
	got := ask("Action=PutMetricData&Namespace=shop&MetricData.member.1.MetricName=orders&MetricData.member.1.Values.member.1=1&MetricData.member.1.Values.member.2=2.5" +
		"&MetricData.member.1.Timestamp=2026-03-01T01%3A02%3A03Z&MetricData.member.1.Dimensions.member.1.Name=zone&MetricData.member.1.Dimensions.member.1.Value=" + url.QueryEscape("a&b"))
	if !strings.HasPrefix(got, `200 <PutMetricDataResponse xmlns="http://monitoring.amazonaws.com/doc/2010-08-01/">`) || len(told) != 1 || len(told[0].Values) != 2 || told[0].Dimensions[0].Value != "a&b" {
		t.Errorf("%s, %+v", got, told)
	}
	if got := ask("Action=ListMetrics&Namespace=%3Cshop%3E"); !strings.Contains(got, "<ListMetricsResult><Metrics><member><Namespace>&lt;shop&gt;</Namespace><MetricName>m</MetricName><Dimensions><member>") {
		t.Error(got)
	}
	if got := ask("Action=PutMetricData&Namespace=AWS%2Fown"); !strings.HasPrefix(got, "400 ") || !strings.Contains(got, "<Code>InvalidParameterValue</Code><Message>The value AWS/ is reserved</Message>") {
		t.Error(got)
	}
}

var arrived = time.Date(2026, 3, 1, 1, 2, 3, 456e6, time.UTC)

// shards is Kinesis as far as the tests go: it closes left when who reads the
// shard "endless" has gone.
func shards(t *testing.T, left chan struct{}) aws.Config {
	return serve(t, kinesis.Model(),
		op("SubscribeToShard", func(ctx context.Context, in *kinesis.SubscribeToShardInput) (*kinesis.SubscribeToShardOutput, error) {
			if in.ShardId == "none" {
				return nil, &wire.Error{Name: "ResourceNotFoundException", Message: "no shard"}
			}
			return &kinesis.SubscribeToShardOutput{EventStream: func(yield func(*kinesis.SubscribeToShardEventStream, error) bool) {
				defer func() {
					if in.ShardId == "endless" {
						close(left)
					}
				}()
				for i := 0; i < 3 || in.ShardId == "endless"; i++ {
					if ctx.Err() != nil || !yield(&kinesis.SubscribeToShardEventStream{SubscribeToShardEvent: kinesis.SubscribeToShardEvent{ContinuationSequenceNumber: fmt.Sprint(i), MillisBehindLatest: int64(i),
						Records: []kinesis.Record{{SequenceNumber: fmt.Sprint(i), Data: []byte{byte(i), 255}, PartitionKey: aws.String("p"), ApproximateArrivalTimestamp: &arrived}}}}, nil) {
						return
					}
				}
				switch in.ShardId {
				case "busy":
					yield(nil, &wire.Error{Name: "ResourceInUseException", Message: "somebody else has it"})
				case "broken":
					yield(nil, errors.New("the disk is on fire"))
				}
			}}, nil
		}))
}

func TestEventStream(t *testing.T) {
	left := make(chan struct{})
	client := awskinesis.NewFromConfig(shards(t, left))
	subscribe := func(shard string) (*awskinesis.SubscribeToShardEventStream, error) {
		out, err := client.SubscribeToShard(t.Context(), &awskinesis.SubscribeToShardInput{ConsumerARN: aws.String("arn:aws:kinesis:us-east-1:000000000000:stream/s/consumer/c:1"), ShardId: &shard,
			StartingPosition: &kinesistypes.StartingPosition{Type: kinesistypes.ShardIteratorTypeLatest}})
		if err != nil {
			return nil, err
		}
		return out.GetStream(), nil
	}
	read := func(shard string) (got string, err error) {
		stream, err := subscribe(shard)
		if err != nil {
			return "", err
		}
		defer stream.Close()
		for event := range stream.Events() {
			e := event.(*kinesistypes.SubscribeToShardEventStreamMemberSubscribeToShardEvent).Value
			got += fmt.Sprintf("%s %d %x %v ", *e.ContinuationSequenceNumber, *e.MillisBehindLatest, e.Records[0].Data, e.Records[0].ApproximateArrivalTimestamp.Equal(arrived))
		}
		return got, stream.Err()
	}
	const three = "0 0 00ff true 1 1 01ff true 2 2 02ff true "
	if got, err := read("whole"); err != nil || got != three {
		t.Errorf("%q, %v", got, err)
	}
	var busy *kinesistypes.ResourceInUseException
	if got, err := read("busy"); !errors.As(err, &busy) || busy.ErrorMessage() != "somebody else has it" || got != three {
		t.Errorf("%q, %v", got, err)
	}
	var api smithy.APIError
	if got, err := read("broken"); !errors.As(err, &api) || strings.Contains(err.Error(), "fire") || got != three {
		t.Errorf("%q, %v", got, err)
	}
	var missing *kinesistypes.ResourceNotFoundException
	if _, err := subscribe("none"); !errors.As(err, &missing) {
		t.Errorf("%v", err)
	}
	stream, err := subscribe("endless")
	if err != nil {
		t.Fatal(err)
	}
	if <-stream.Events() == nil {
		t.Fatal(stream.Err())
	}
	stream.Close()
	<-left
}
