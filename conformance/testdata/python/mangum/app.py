"""A Starlette app behind Mangum, which makes a handler of any ASGI app."""

from mangum import Mangum
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route


async def user(request: Request):
    return JSONResponse({"id": request.path_params["id"], "query": dict(request.query_params), "body": (await request.body()).decode()})


handler = Mangum(Starlette(routes=[Route("/mangum/{id}", user, methods=["GET", "POST"])]), lifespan="off")
