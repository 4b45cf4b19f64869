"""A service with Python's official OpenTelemetry SDK: it passes each request on to the next hop, over HTTP or gRPC.

Prints `http <port>` and `grpc <port>`, and serves until its stdin ends.
"""

import json
import logging
import sys
import threading
import time
from concurrent import futures
from socketserver import ThreadingMixIn
from urllib.parse import parse_qs
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

import grpc
import requests
from google.protobuf.wrappers_pb2 import StringValue
from opentelemetry import baggage, context, metrics, trace
from opentelemetry._logs import set_logger_provider
from opentelemetry.exporter.otlp.proto.http._log_exporter import OTLPLogExporter
from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.instrumentation.grpc import GrpcInstrumentorClient, GrpcInstrumentorServer
from opentelemetry.instrumentation.requests import RequestsInstrumentor
from opentelemetry.instrumentation.wsgi import OpenTelemetryMiddleware
from opentelemetry.sdk._logs import LoggerProvider, LoggingHandler
from opentelemetry.sdk._logs.export import BatchLogRecordProcessor
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor

NAME = "python"

traces = TracerProvider()
traces.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
trace.set_tracer_provider(traces)
meters = MeterProvider([PeriodicExportingMetricReader(OTLPMetricExporter())])
metrics.set_meter_provider(meters)
logs = LoggerProvider()
logs.add_log_record_processor(BatchLogRecordProcessor(OTLPLogExporter()))
set_logger_provider(logs)
logger = logging.getLogger("relay")
logger.setLevel(logging.INFO)
logger.addHandler(LoggingHandler(logger_provider=logs))
for instrumentor in (RequestsInstrumentor, GrpcInstrumentorClient, GrpcInstrumentorServer):
    instrumentor().instrument()
duration = metrics.get_meter("relay").create_histogram("relay.duration", unit="s")


def relay(hops):
    """Says who is here with which baggage, and what the hops after say."""
    started = time.monotonic()
    logger.info("relayed by %s", NAME)
    members = {key: str(value) for key, value in baggage.get_all().items()}
    trace_id = format(trace.get_current_span().get_span_context().trace_id, "032x")
    said = [{"name": NAME, "trace_id": trace_id, "baggage": members}]
    if hops:
        token = context.attach(baggage.set_baggage(f"seen.{NAME}", "yes"))
        try:
            said += call(hops[0], hops[1:])
        finally:
            context.detach(token)
    duration.record(time.monotonic() - started)
    return said


def call(hop, rest):
    scheme, address = hop.split("://")
    if scheme == "http":
        answer = requests.get(f"{hop}/relay", params={"hops": ",".join(rest)}, timeout=20)
        answer.raise_for_status()
        return answer.json()
    with grpc.insecure_channel(address) as channel:
        pass_on = channel.unary_unary(
            "/interop.Relay/Pass", StringValue.SerializeToString, StringValue.FromString
        )
        return json.loads(pass_on(StringValue(value=",".join(rest)), timeout=20).value)


def split(hops):
    return [hop for hop in hops.split(",") if hop]


def app(environ, start_response):
    hops = parse_qs(environ["QUERY_STRING"]).get("hops", [""])[0]
    body = json.dumps(relay(split(hops))).encode()
    start_response("200 OK", [("content-type", "application/json"), ("content-length", str(len(body)))])
    return [body]


def pass_on(request, _context):
    return StringValue(value=json.dumps(relay(split(request.value))))


class Server(ThreadingMixIn, WSGIServer):
    daemon_threads = True


class Silent(WSGIRequestHandler):
    def log_message(self, *_):
        pass


http = make_server("127.0.0.1", 0, OpenTelemetryMiddleware(app), Server, Silent)
threading.Thread(target=http.serve_forever, daemon=True).start()

server = grpc.server(futures.ThreadPoolExecutor(8))
handler = grpc.unary_unary_rpc_method_handler(pass_on, StringValue.FromString, StringValue.SerializeToString)
server.add_generic_rpc_handlers([grpc.method_handlers_generic_handler("interop.Relay", {"Pass": handler})])
port = server.add_insecure_port("127.0.0.1:0")
server.start()

print(f"http {http.server_port}", flush=True)
print(f"grpc {port}", flush=True)
sys.stdin.read()
server.stop(None)
for provider in (traces, logs, meters):
    provider.shutdown()
