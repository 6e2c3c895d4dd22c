"""The outermost interceptor of the gRPC door: who calls, and whether it may. Health checks pass without."""

from __future__ import annotations

import inspect
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import TYPE_CHECKING, Any, NoReturn

import grpc
from grpc_health.v1 import health

from cds_service.config import Settings
from cds_service.rpc.ending import guard
from cds_service.rpc.servicer import SERVICE
from cds_service.telemetry.setup import Call, Telemetry
from cds_service.trust.audience import Audience
from cds_service.trust.certificates import names_of
from cds_service.trust.clients import Client, Permission, set_current
from cds_service.trust.gate import Credentials, Gate

HEALTH = f"/{health.SERVICE_NAME}/"
NEEDED: dict[str, Permission | None] = {
    f"/{SERVICE}/Evaluate": "evaluate",
    f"/{SERVICE}/EvaluateStream": "evaluate",
    f"/{SERVICE}/SendFeedback": "feedback",
    f"/{SERVICE}/GetServiceInfo": None,
    "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo": None,
    "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo": None,
}
"""The permission that each method needs; None: any known client may. What isn't named needs ``admin``."""
if TYPE_CHECKING:
    Handler = grpc.RpcMethodHandler[Any, Any]


class Authentication(grpc.aio.ServerInterceptor):
    """Lets known clients pass.

    A token comes with the metadata, so a call is refused before its message is read: nobody unknown can make the
    service hold 64 MiB. A certificate is only seen from within the call; its owner is known to the authority already.
    """

    def __init__(self, gate: Gate, settings: Settings, telemetry: Telemetry) -> None:
        self._gate, self._telemetry = gate, telemetry
        self._bases, self._certificates = settings.public_urls, settings.tls_client_ca is not None

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[Handler | None]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> Handler | None:
        handler = await continuation(handler_call_details)
        method: Any = handler_call_details.method
        if handler is None or method.startswith(HEALTH):
            return handler
        metadata: Any = tuple(handler_call_details.invocation_metadata or ())
        if self._certificates:

            async def checked(context: Any) -> Client:
                try:
                    return await self._admit(method, metadata, context)
                except Exception as error:
                    failure = error
                return await self._end(method, metadata, context, failure)

            return self._around(handler, method, checked)
        try:
            client = await self._admit(method, metadata, None)
        except Exception as error:
            return self._refusal(method, metadata, error)

        async def known(context: Any) -> Client:
            return client

        return self._around(handler, method, known)

    async def _admit(self, method: str, metadata: Any, context: Any) -> Client:
        sent = tuple(str(value) for key, value in metadata if key == "authorization")
        shown = Credentials(sent, _certificate(context) if context is not None else ())
        audience = Audience((method.rpartition("/")[0], method), self._bases)
        client = await self._gate.admit(shown, audience, NEEDED.get(method, "admin"))
        set_current(client)
        return client

    def _refusal(self, method: str, metadata: Any, error: Exception) -> Handler:
        """A handler that ends the call as ``error`` says; one of streams, since those read nothing by themselves."""

        async def refuse(requests: Any, context: Any) -> None:
            await self._end(method, metadata, context, error)

        return grpc.stream_stream_rpc_method_handler(refuse)

    async def _end(self, method: str, metadata: Any, context: Any, error: Exception) -> NoReturn:
        async def work(call: Call) -> NoReturn:
            raise error

        with self._telemetry.call(method.lstrip("/"), metadata) as call:
            await guard(call, context, work)
        raise AssertionError("guard has raised")

    def _around(self, handler: Handler, method: str, check: Callable[[Any], Awaitable[Client]]) -> Handler:
        """The handler, once ``check`` has let the caller in; items of a stream of ours come in turn."""
        inner: Any = handler.stream_stream or handler.stream_unary or handler.unary_stream or handler.unary_unary
        paced = handler.request_streaming and method.startswith(f"/{SERVICE}/")

        if inspect.isasyncgenfunction(inner):

            async def stream(request: Any, context: Any) -> AsyncIterator[Any]:
                client = await check(context)
                async for answer in inner(self._in_turn(request, client) if paced else request, context):
                    yield answer

            return _with(handler, stream)

        async def behavior(request: Any, context: Any) -> Any:
            client = await check(context)
            return await inner(self._in_turn(request, client) if paced else request, context)

        return _with(handler, behavior)

    async def _in_turn(self, items: AsyncIterator[Any], client: Client) -> AsyncIterator[Any]:
        """The items, no faster than the client may call: else a stream would be a way around its rate."""
        async for item in items:
            await self._gate.wait_turn(client)
            yield item


def _with(handler: Handler, behavior: Any) -> Handler:
    """The same kind of handler around another behavior."""
    kind = {
        (False, False): grpc.unary_unary_rpc_method_handler,
        (False, True): grpc.unary_stream_rpc_method_handler,
        (True, False): grpc.stream_unary_rpc_method_handler,
        (True, True): grpc.stream_stream_rpc_method_handler,
    }[bool(handler.request_streaming), bool(handler.response_streaming)]
    made: Handler = kind(behavior, handler.request_deserializer, handler.response_serializer)
    return made


def _certificate(context: Any) -> tuple[str, ...]:
    """The names of the caller's certificate, whose chain TLS has verified."""
    found = context.auth_context().get("x509_pem_cert", [])
    return names_of(bytes(found[0])) if found else ()
