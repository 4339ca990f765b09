"""The OpenAPI document: what FastAPI knows, plus the hot routes, scopes and the one form of every error."""

from collections.abc import Iterator
from typing import Any, Literal

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from fastapi.routing import APIRoute
from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from api.auth import Scope
from api.dependencies import Needs
from api.errors import MEDIA_TYPE
from api.examples import EXAMPLES
from api.examples.base import Example
from api.hot import BULK_PATH, PATH
from api.schemas import broadcasts, people, sending
from api.schemas.base import Problem
from api.to_device import APPLES_HEADERS
from api.to_device import PATH as DEVICE_PATH

_PREFERENCES = "/api/v1/users/{user}/preferences"
_READ_ELSEWHERE: dict[tuple[str, str], type[BaseModel]] = {
    (_PREFERENCES, "put"): people.PreferencesDocument,
    (_PREFERENCES, "patch"): people.PreferencesPatch,
    ("/api/v1/topics/{topic}/notifications", "post"): broadcasts.PublicationAsked,
}
"""Bodies that are read elsewhere: FastAPI knows only that they are objects."""

_REF = "#/components/schemas/{model}"
REGISTER = ("/api/v1/devices/register", "post")
"""The one route that opens for publishable keys too."""

_TAGS = [
    {"name": "sending", "description": "One notification, or up to a thousand."},
    {"name": "notifications", "description": "What became of them."},
    {"name": "deliveries", "description": "Single deliveries: listed, resolved, retried."},
    {"name": "users", "description": "People, their addresses and what they allow."},
    {"name": "categories", "description": "Kinds of notifications, and the rules that hold for each."},
    {"name": "suppressions", "description": "Addresses that nobody may write to any more."},
    {"name": "apps", "description": "Apps, and their publishable keys."},
    {"name": "devices", "description": "Devices, their tokens, and what became of these."},
    {"name": "topics", "description": "What many devices subscribe to."},
    {"name": "broadcasts", "description": "Publications to topics: made, watched, stopped."},
    {"name": "dead letters", "description": "What nobody will send again by itself: told, repaired, settled."},
    {"name": "webhooks", "description": "URLs of yours that are told what becomes of deliveries."},
    {"name": "operators", "description": "What runs, what waits, and what is stopped."},
    {"name": "recipients", "description": "What recipients open: no key."},
    {"name": "providers", "description": "What providers call: signed."},
    {"name": "operation", "description": "Health and metrics."},
]
NOT_READY = "what is missing is told"
NO_SUCH_LINK = "a page that says that the link does not work"
"""The answers above 400 that are no problem documents."""

_ALWAYS = ("400", "408", "414", "431", "500", "503")
_WITH_KEY = ("401", "403", "429")
_WITH_BODY = ("413", "415", "422")


def describe(app: FastAPI) -> dict[str, Any]:
    """The document, made once per application."""
    if app.openapi_schema is None:
        document = get_openapi(
            title=app.title, version=app.version, description=app.description, routes=app.routes, tags=_TAGS
        )
        _add_hot(document)
        _add_schemas(document)
        scopes = _scopes(app)
        for path, method, operation in _operations(document):
            if (model := _READ_ELSEWHERE.get((path, method))) is not None:
                content = operation["requestBody"]["content"]["application/json"]
                content["schema"] = {"$ref": _REF.format(model=model.__name__)}
            _add_security(operation, scopes.get((path, method)))
            if (path, method) == REGISTER:
                operation["security"].append({"app_key": []})
            _add_problems(operation)
            _add_examples(operation, EXAMPLES.get((path, method), Example()))
        app.openapi_schema = document
    return app.openapi_schema


def _operations(document: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            yield path, method, operation


def _add_schemas(document: dict[str, Any]) -> None:
    components = document.setdefault("components", {})
    hot: list[type[BaseModel]] = [sending.NotificationRequestBody, sending.BulkRequestBody, sending.DevicePushBody]
    asked: list[type[BaseModel]] = [*hot, *_READ_ELSEWHERE.values()]
    told: list[type[BaseModel]] = [sending.AcceptedTold, sending.BulkTold, sending.DeviceAcceptedTold, Problem]
    wanted: list[tuple[type[BaseModel], Literal["validation", "serialization"]]] = [
        *((model, "validation") for model in asked),
        *((model, "serialization") for model in told),
    ]
    _, schemas = models_json_schema(wanted, ref_template=_REF)
    known = components.setdefault("schemas", {})
    known.update(schemas["$defs"])
    for unused in ("HTTPValidationError", "ValidationError"):
        known.pop(unused, None)
    components["securitySchemes"] = {
        "key": {"type": "http", "scheme": "bearer", "description": "an API key: cn_live_…, cn_test_… or cn_team_…"},
        "app_key": {"type": "http", "scheme": "bearer", "description": "an app's publishable key: cn_app_…"},
    }


def _scopes(app: FastAPI) -> dict[tuple[str, str], Scope]:
    """Which scope each route needs, read from its dependencies."""
    found = {(path, "post"): Scope.SEND for path in (PATH, BULK_PATH, DEVICE_PATH)}
    for route in app.routes:
        if isinstance(route, APIRoute):
            for dependency in route.dependant.dependencies:
                if isinstance(dependency.call, Needs):
                    found.update(
                        {(route.path, method.lower()): dependency.call.scope for method in route.methods or ()}
                    )
    return found


def _add_security(operation: dict[str, Any], scope: Scope | None) -> None:
    operation["security"] = [{"key": [str(scope)]}] if scope is not None else []


def _add_problems(operation: dict[str, Any]) -> None:
    """Every status that the door, the key and the body can answer with, in the one form."""
    statuses = list(_ALWAYS)
    if operation["security"]:
        statuses += _WITH_KEY
    if "requestBody" in operation:
        statuses += _WITH_BODY
    if operation.get("parameters"):
        statuses += ["404", "422"]
    content = {MEDIA_TYPE: {"schema": {"$ref": _REF.format(model="Problem")}}}
    for status in sorted(set(statuses)):
        operation["responses"].setdefault(status, {"description": "problem details"})
    for status, answer in operation["responses"].items():
        if status >= "400" and answer.get("description") not in (NOT_READY, NO_SUCH_LINK):
            answer["content"] = content


def _add_examples(operation: dict[str, Any], example: Example) -> None:
    if example.asked is not None:
        operation["requestBody"]["content"]["application/json"]["example"] = example.asked
    for status, answer in operation["responses"].items():
        if status < "400" and example.told is not None:
            answer["content"]["application/json"]["example"] = example.told


def _add_hot(document: dict[str, Any]) -> None:
    paths = document["paths"]
    one = _hot_operation(
        "send_one",
        "Send one notification",
        sending.NotificationRequestBody.__name__,
        {
            "template": {"value": sending.ONE_EXAMPLE},
            "content": {"value": sending.CONTENT_EXAMPLE},
            "push": {"value": sending.PUSH_EXAMPLE},
        },
    )
    one["responses"]["202"] = _answer(sending.AcceptedTold.__name__)
    one["responses"]["202"]["headers"]["Location"] = {"schema": {"type": "string"}}
    bulk = _hot_operation(
        "send_bulk",
        "Send up to a thousand notifications",
        sending.BulkRequestBody.__name__,
        {"two": {"value": sending.BULK_EXAMPLE}},
    )
    bulk["responses"]["202"] = _answer(sending.BulkTold.__name__)
    paths.setdefault(PATH, {})["post"] = one
    paths.setdefault(BULK_PATH, {})["post"] = bulk
    paths.setdefault(DEVICE_PATH, {})["post"] = _to_device()


def _to_device() -> dict[str, Any]:
    operation = _hot_operation(
        "send_to_device",
        "Send one push to one device, by its token",
        sending.DevicePushBody.__name__,
        {"alert": {"value": sending.DEVICE_EXAMPLE}},
    )
    token = {"name": "token", "in": "path", "required": True, "schema": {"type": "string", "minLength": 1}}
    numbers = ({"type": "integer"}, {"type": "integer"}, {"type": "string", "maxLength": 64})
    headers = [
        {"name": name, "in": "header", "required": False, "description": "where the body is silent", "schema": schema}
        for name, schema in zip(APPLES_HEADERS.values(), numbers, strict=True)
    ]
    operation["parameters"] = [token, *headers, *operation["parameters"]]
    operation["responses"]["202"] = _answer(sending.DeviceAcceptedTold.__name__)
    operation["responses"]["202"]["headers"]["Location"] = {"schema": {"type": "string"}}
    operation["responses"]["410"] = {"description": "the device is gone: forget its token"}
    return operation


def _hot_operation(name: str, summary: str, schema: str, examples: dict[str, Any]) -> dict[str, Any]:
    content = {"schema": {"$ref": _REF.format(model=schema)}, "examples": examples}
    key = {
        "name": "Idempotency-Key",
        "in": "header",
        "required": False,
        "description": "kept 24 hours: the same request again gets the first answer",
        "schema": {"type": "string", "minLength": 1, "maxLength": 255, "pattern": "^[!-~]+$"},
    }
    conflict = {"description": "a request with this Idempotency-Key is still running"}
    return {
        "tags": ["sending"],
        "operationId": name,
        "summary": summary,
        "parameters": [key],
        "requestBody": {"required": True, "content": {"application/json": content}},
        "responses": {"409": conflict | {"content": {MEDIA_TYPE: {"schema": {"$ref": _REF.format(model="Problem")}}}}},
    }


def _answer(schema: str) -> dict[str, Any]:
    content = {"schema": {"$ref": _REF.format(model=schema)}}
    replayed = {"schema": {"type": "string", "enum": ["true"]}, "description": "this is the first answer again"}
    return {
        "description": "kept: it is in PostgreSQL",
        "headers": {"Idempotent-Replayed": replayed},
        "content": {"application/json": content},
    }
