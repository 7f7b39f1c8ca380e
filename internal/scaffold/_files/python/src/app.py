import logging
import os

logging.getLogger().setLevel(logging.INFO)


def handler(event, context):
    who = event["pathParameters"]["who"]
    logging.info("greeting %s", who)
    return {"message": f"{os.environ['GREETING']}, {who}!"}
