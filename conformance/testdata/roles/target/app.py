def handler(event, context):
    return {"came": event["from"]}
