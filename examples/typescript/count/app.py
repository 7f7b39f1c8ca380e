from greetings import languages


def handler(event, context):
    name = (event.get("pathParameters") or {}).get("name", "world")
    return {"message": f"{name} can be greeted in {len(languages())} languages"}
