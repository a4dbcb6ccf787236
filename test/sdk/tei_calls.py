"""What an application does with grpcio at the gRPC door. Each call says what came of it: answers, code, metadata."""

import sys
import tempfile
import threading
from pathlib import Path

import grpc
from google.protobuf import descriptor_pb2, descriptor_pool
from google.protobuf.json_format import MessageToDict, ParseDict
from google.protobuf.message_factory import GetMessageClass
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase
from grpc_tools import protoc
from serve import serve

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
sys.path[:0] = [str(ROOT / "proto"), str(HERE)]
grpc.protos("tei_multiplexer/v1/multiplexer.proto")
documented = grpc.protos("documented.proto")

KINDS = {
    (False, False): "unary_unary",
    (False, True): "unary_stream",
    (True, False): "stream_unary",
    (True, True): "stream_stream",
}
channels = {}


def channel_of(asking):
    """One for all calls of the same address and options, as an application has it."""
    options = [tuple(option) for option in asking["extra"].get("channel", [])]
    key = (asking["url"], str(options))
    if key not in channels:
        channels[key] = grpc.insecure_channel(asking["url"], options=options)
    return channels[key]


def call(asking, recorder):
    """Of a method by its full name, by the files of proto/, by another dialect's messages, or by reflection alone."""
    extra = asking["extra"]
    channel = channel_of(asking)
    reflected = extra.get("by") == "reflection"
    pool = descriptor_pool.DescriptorPool(ProtoReflectionDescriptorDatabase(channel)) if reflected else descriptor_pool.Default()
    service, name = extra["method"].split("/")
    method = pool.FindServiceByName(service).methods_by_name[name]
    Request = GetMessageClass(method.input_type)
    if extra.get("by") == "documented":
        Request = getattr(documented, method.input_type.name)
    messages = [ParseDict(request, Request()) for request in extra["requests"]]
    start = getattr(channel, KINDS[method.client_streaming, method.server_streaming])(
        "/" + extra["method"],
        request_serializer=Request.SerializeToString,
        response_deserializer=GetMessageClass(method.output_type).FromString,
    )
    options = {
        "metadata": [tuple(pair) for pair in extra.get("metadata", {}).items()],
        "timeout": asking["timeoutMs"] / 1000 or None,
        "compression": grpc.Compression.Gzip if extra.get("gzip") else None,
    }
    given = iter(messages) if method.client_streaming else messages[0]
    answers = []
    try:
        if method.server_streaming:
            ended = start(given, **options)
            for answer in ended:
                answers.append(answer)
        else:
            answer, ended = start.with_call(given, **options)
            answers.append(answer)
    except grpc.RpcError as error:
        ended = error
    return {
        "answers": [MessageToDict(answer, preserving_proto_field_name=True) for answer in answers],
        "code": ended.code().name,
        "details": ended.details(),
        "initial": plain(ended.initial_metadata()),
        "trailing": plain(ended.trailing_metadata()),
    }


def plain(metadata):
    return {key: value.decode() if isinstance(value, bytes) else value for key, value in metadata or ()}


def check(asking, recorder):
    stub = health_pb2_grpc.HealthStub(channel_of(asking))
    try:
        answer = stub.Check(health_pb2.HealthCheckRequest(service=asking["extra"]["service"]), timeout=5)
        return health_pb2.HealthCheckResponse.ServingStatus.Name(answer.status)
    except grpc.RpcError as error:
        return f"{error.code().name}: {error.details()}"


def list_health(asking, recorder):
    answer = health_pb2_grpc.HealthStub(channel_of(asking)).List(health_pb2.HealthListRequest(), timeout=5)
    name = health_pb2.HealthCheckResponse.ServingStatus.Name
    return {service: name(one.status) for service, one in answer.statuses.items()}


said = []


def watch(asking, recorder):
    """Goes on beside other calls; `watched` gives what it has said."""
    request = health_pb2.HealthCheckRequest(service=asking["extra"]["service"])
    answers = health_pb2_grpc.HealthStub(channel_of(asking)).Watch(request)

    def listen():
        try:
            for answer in answers:
                said.append(health_pb2.HealthCheckResponse.ServingStatus.Name(answer.status))
        except grpc.RpcError as error:
            said.append(error.code().name)

    threading.Thread(target=listen, daemon=True).start()


def watched(asking, recorder):
    return said


def services(asking, recorder):
    return list(ProtoReflectionDescriptorDatabase(channel_of(asking)).get_services())


def files(asking, recorder):
    """For each file that proto/ has: whether reflection describes it as protoc does."""
    database = ProtoReflectionDescriptorDatabase(channel_of(asking))
    names = ["tei/v1/tei.proto", "tei_multiplexer/v1/multiplexer.proto"]
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "set"
        assert protoc.main(["protoc", f"-I{ROOT / 'proto'}", f"--descriptor_set_out={out}", *names]) == 0
        described = descriptor_pb2.FileDescriptorSet.FromString(out.read_bytes())
    return {file.name: database.FindFileByName(file.name) == file for file in described.file}


if __name__ == "__main__":
    serve({call.__name__: call for call in [call, check, list_health, watch, watched, services, files]})
