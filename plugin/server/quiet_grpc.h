// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "plugin/os/event_loop.h"

// What it takes to make gRPC 1.51 sleep while nothing happens. docs/adr/2026-11-23-quiet-grpc.md
namespace dp::server {

// Before anything else of gRPC is used. `loop` lives until the program ends.
void PrepareGrpc(os::EventLoop& loop);

// Has gRPC start, and its threads stay as they are from now on, until the program ends. For a
// program without server, before StopGrpcTimers(): its threads come back with each first channel.
void KeepGrpc();

// Once servers exist: no timer of gRPC fires any more. So no deadline of a call, no keepalive:
// whoever needs a time-out takes it from the event loop.
void StopGrpcTimers();

}  // namespace dp::server
