"""A FastAPI app: paths, validation by models, answers that stream, documentation of itself, WebSockets."""

from typing import Annotated

from fastapi import FastAPI, Query, WebSocket
from fastapi.responses import StreamingResponse
from pydantic import BaseModel

app = FastAPI(docs_url=None, openapi_url="/fastapi/openapi.json")


class Item(BaseModel):
    name: str
    price: float
    is_offer: bool | None = None


@app.get("/fastapi")
def read_root():
    return {"Hello": "World"}


@app.get("/fastapi/items/{item_id}")
async def read_item(item_id: int, q: Annotated[str | None, Query(max_length=5)] = None):
    return {"item_id": item_id, "q": q}


@app.put("/fastapi/items/{item_id}")
def update_item(item_id: int, item: Item):
    return {"item_name": item.name, "item_id": item_id}


@app.get("/fastapi/stream")
async def stream():
    async def pieces():
        for i in range(100):
            yield f"piece {i}\n"

    return StreamingResponse(pieces(), media_type="text/plain")


@app.websocket("/fastapi/ws")
async def echo(socket: WebSocket):
    await socket.accept()
    async for text in socket.iter_text():
        await socket.send_text(f"Message text was: {text}")
