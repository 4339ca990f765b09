"""What the command line says when a call does not work out: one line with what, where, and what to do."""

import httpx2
import pytest

from ops.rest import CallFailed, Rest, open_rest


async def test_a_refusal_names_the_reason_and_every_pointer() -> None:
    problem = {
        "status": 422,
        "reason": "invalid_request",
        "detail": "2 faults",
        "errors": [{"pointer": "/to", "detail": "is missing"}, {"pointer": "/data/x", "detail": "unknown field"}],
    }

    words = await _words(httpx2.Response(422, json=problem))

    assert words == (
        "POST http://api.test/api/v1/notifications: "
        "422 invalid_request: 2 faults (/to is missing; /data/x unknown field)"
    )


async def test_a_single_fault_is_not_told_twice() -> None:
    problem = {
        "reason": "invalid_request",
        "detail": "/to: is missing",
        "errors": [{"pointer": "/to", "detail": "is missing"}],
    }

    assert (await _words(httpx2.Response(422, json=problem))).endswith("422 invalid_request: /to: is missing")


async def test_what_is_no_problem_document_is_told_by_its_status() -> None:
    assert (await _words(httpx2.Response(502, text="<html>"))).endswith(": 502 Bad Gateway")


async def test_a_wrong_key_comes_with_advice() -> None:
    problem = {"reason": "unauthorized", "detail": "this key is not known", "errors": []}

    assert "`carillon keys create` makes one" in await _words(httpx2.Response(401, json=problem))


async def test_silence_names_the_url_and_what_to_do() -> None:
    def refuse(request: httpx2.Request) -> httpx2.Response:
        raise httpx2.ConnectError("refused", request=request)

    async with _rest(httpx2.MockTransport(refuse)) as client:
        with pytest.raises(CallFailed, match=r"http://api\.test/x: no answer \(refused\).*carillon up"):
            await Rest("http://api.test", client).get("/x")


async def test_an_idempotency_key_travels_as_its_header() -> None:
    seen: list[httpx2.Request] = []

    def answer(request: httpx2.Request) -> httpx2.Response:
        seen.append(request)
        return httpx2.Response(202, json={"id": "1"})

    async with _rest(httpx2.MockTransport(answer)) as client:
        await Rest("http://api.test", client).send({"to": "user-42"}, idempotency_key="once")

    assert seen[0].headers["Idempotency-Key"] == "once"


@pytest.mark.parametrize("url", ["127.0.0.1:8000", "ftp://x", "http://", ""])
async def test_what_is_no_url_is_refused(url: str) -> None:
    with pytest.raises(CallFailed, match="is no URL of an API"):
        async with open_rest(url, "key"):
            pass


async def _words(answer: httpx2.Response) -> str:
    async with _rest(httpx2.MockTransport(lambda _request: answer)) as client:
        with pytest.raises(CallFailed) as failure:
            await Rest("http://api.test", client).send({})
    return str(failure.value)


def _rest(transport: httpx2.MockTransport) -> httpx2.AsyncClient:
    return httpx2.AsyncClient(base_url="http://api.test", transport=transport)
