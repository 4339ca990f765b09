"""The OpenAPI document against the application: it says what exists, and what it says holds."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import jsonschema
import pytest

from api.app import create_app
from api.auth import Scope
from api.errors import document as problem_document
from api.openapi import describe
from api.schemas import sending
from api.shape import read_request
from domain.errors import RequestRefused
from tests.integration.api.doors import FakeBatcher, KeyRing, make_house

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)
DOCUMENT: dict[str, Any] = describe(create_app(make_house(FakeBatcher(), KeyRing())))
READING_MORE = {("/api/v1/users/{user}/export", "get"): Scope.USERS}
"""What shows more than others may read."""

KEYLESS = {"recipients", "providers", "operation"}


def operations() -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Every operation of the document."""
    for path, methods in DOCUMENT["paths"].items():
        for method, operation in methods.items():
            yield path, method, operation


def schema_of(model: str) -> dict[str, Any]:
    """One schema of the document, with what it refers to."""
    return {"$ref": f"#/components/schemas/{model}", "components": DOCUMENT["components"]}


def test_every_reference_leads_somewhere() -> None:
    names = set(DOCUMENT["components"]["schemas"])
    text = json.dumps(DOCUMENT)

    used = {part.split('"')[0] for part in text.split("#/components/schemas/")[1:]}

    assert used <= names


def test_every_operation_needs_a_scope_unless_it_is_for_those_without_keys() -> None:
    for path, method, operation in operations():
        scopes = [scope for need in operation["security"] for scope in need.get("key", [])]
        if set(operation["tags"]) & KEYLESS:
            assert scopes == [], (method, path)
        else:
            assert len(scopes) == 1, (method, path)
            assert scopes[0] in set(Scope), (method, path)


def test_reading_needs_read_and_writing_does_not() -> None:
    for path, method, operation in operations():
        if path.startswith("/api/v1/ops/"):
            assert operation["security"] == [{"key": [Scope.OPS]}], (method, path)
        elif operation["security"] and (path, method) not in READING_MORE:
            is_reading = operation["security"][0]["key"] == [Scope.READ]
            assert is_reading is (method == "get"), (method, path)


def test_what_shows_a_whole_person_needs_more_than_read() -> None:
    for (path, method), scope in READING_MORE.items():
        assert DOCUMENT["paths"][path][method]["security"] == [{"key": [scope]}]


def test_every_error_has_the_one_form() -> None:
    for path, method, operation in operations():
        for status, answer in operation["responses"].items():
            if status >= "400" and (path, status) not in {("/health/ready", "503"), ("/u/{token}", "404")}:
                assert list(answer["content"]) == ["application/problem+json"], (method, path, status)


def test_every_operation_has_a_summary_and_a_name_of_its_own() -> None:
    names = [operation["operationId"] for _, _, operation in operations()]

    assert len(names) == len(set(names))
    assert all(operation["summary"] for _, _, operation in operations())


def test_every_json_body_and_answer_has_an_example_that_fits() -> None:
    for path, method, operation in operations():
        parts = [operation.get("requestBody", {})]
        parts += [answer for status, answer in operation["responses"].items() if status < "400"]
        for content in (part.get("content", {}).get("application/json") for part in parts):
            if content is not None and content["schema"] != {}:
                shown = [each["value"] for each in content.get("examples", {}).values()] or [content["example"]]
                for example in shown:
                    jsonschema.validate(example, {**content["schema"], "components": DOCUMENT["components"]})
                assert shown, (method, path)


@pytest.mark.parametrize("example", [sending.ONE_EXAMPLE, sending.CONTENT_EXAMPLE, sending.PUSH_EXAMPLE])
def test_examples_fit_their_schema_and_are_taken(example: dict[str, Any]) -> None:
    jsonschema.validate(example, schema_of("NotificationRequestBody"))

    read_request(example, now=NOW)


def test_the_example_of_an_answer_fits_its_schema() -> None:
    jsonschema.validate(sending.ACCEPTED_EXAMPLE, schema_of("AcceptedTold"))


def test_a_problem_fits_its_schema() -> None:
    jsonschema.validate(problem_document(404, "not_found", "nothing there", instance="urn:x"), schema_of("Problem"))


@pytest.mark.parametrize(
    "body",
    [
        {"to": "u"},
        {"to": "u", "template": "t", "fallback": []},
        {"to": {"device_token": "a", "user": 3}, "template": "t"},
        {"to": "u", "template": "t", "channels": ["in_app"]},
        {"to": "u", "content": {"push": {"wake": 7}}},
        {"to": "u", "template": "t", "nonsense": 1},
        {"to": "u", "template": "t", "expires_in_s": "12"},
        {"to": "u", "template": "t", "priority": "urgent"},
        {"to": "u", "template": "T!"},
        {"to": "", "template": "t"},
    ],
)
def test_what_the_schema_forbids_the_reader_refuses(body: dict[str, Any]) -> None:
    with pytest.raises(RequestRefused):
        read_request(body, now=NOW)

    if len(body) > 1:
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate(body, schema_of("NotificationRequestBody"))


def test_fields_of_the_schema_are_those_of_the_reader() -> None:
    for name in DOCUMENT["components"]["schemas"]["NotificationRequestBody"]["properties"]:
        with pytest.raises(RequestRefused) as refused:
            read_request({"to": "u", "template": "t"} | {name: object()}, now=NOW)
        assert "unknown field" not in {fault.detail for fault in refused.value.faults}, name
