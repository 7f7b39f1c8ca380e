"""Powertools for AWS Lambda (Python): an API of its event handler, with logger, metrics, tracer, and validation."""

from aws_lambda_powertools import Logger, Metrics, Tracer
from aws_lambda_powertools.event_handler import APIGatewayHttpResolver
from aws_lambda_powertools.event_handler.exceptions import NotFoundError
from aws_lambda_powertools.logging import correlation_paths
from aws_lambda_powertools.metrics import MetricUnit
from aws_lambda_powertools.utilities.batch import BatchProcessor, EventType, process_partial_response
from aws_lambda_powertools.utilities.typing import LambdaContext
from aws_lambda_powertools.utilities.validation import validator
from pydantic import BaseModel

logger = Logger()
metrics = Metrics()
tracer = Tracer()
app = APIGatewayHttpResolver(enable_validation=True)


class Todo(BaseModel):
    title: str
    completed: bool = False


@app.get("/todos/<todo_id>")
@tracer.capture_method
def get_todo(todo_id: int) -> Todo:
    if todo_id > 100:
        raise NotFoundError(f"no todo {todo_id}")
    logger.append_keys(todo=todo_id)
    logger.info("a todo", extra={"asked": True})
    tracer.put_annotation(key="todo", value=todo_id)
    metrics.add_metric(name="todos", unit=MetricUnit.Count, value=1)
    return Todo(title=f"number {todo_id}")


@app.post("/todos")
def add_todo(todo: Todo) -> dict:
    return {"added": todo.title}


@logger.inject_lambda_context(correlation_id_path=correlation_paths.API_GATEWAY_HTTP, clear_state=True)
@tracer.capture_lambda_handler
@metrics.log_metrics(capture_cold_start_metric=True)
def api(event: dict, context: LambdaContext) -> dict:
    return app.resolve(event, context)


SCHEMA = {"type": "object", "required": ["id"], "properties": {"id": {"type": "integer"}}}


@validator(inbound_schema=SCHEMA)
def validated(event: dict, context: LambdaContext) -> dict:
    return {"id": event["id"] + 1}


processor = BatchProcessor(event_type=EventType.SQS)


def handle(record):
    if record.body == "bad":
        raise ValueError("a bad record")


def batch(event: dict, context: LambdaContext) -> dict:
    return process_partial_response(event=event, record_handler=handle, processor=processor, context=context)
