// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <grpcpp/server.h>
#include <sys/un.h>

#include <chrono>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "plugin/base/unique_fd.h"

namespace dp::fakes {

// As bind(2) and connect(2) want it. A path that is too long ends the program.
sockaddr_un AddressOf(const std::string& path);

// A nonblocking connection to the Unix socket at `path`; invalid, with errno, if there is none.
base::UniqueFd ConnectTo(const std::string& path);

// The Unix socket of a gRPC server, which can come and go as that of a process does that is killed
// and started again. Open() and Close() are called by one thread at a time.
class GrpcSocket {
 public:
  using Clock = std::chrono::steady_clock;

  // Does not listen yet. `server` has no port of its own, and outlives the socket.
  GrpcSocket(grpc::Server& server, std::string path);
  GrpcSocket(const GrpcSocket&) = delete;
  GrpcSocket& operator=(const GrpcSocket&) = delete;
  ~GrpcSocket();

  // Listens at the path, where nothing may be. Returns the moment from which a client can connect.
  Clock::time_point Open();
  // Ends the listener and all its connections. The socket stays in its folder.
  void Close();
  [[nodiscard]] bool open() const { return listener_.valid(); }
  [[nodiscard]] const std::string& path() const { return path_; }

 private:
  void Accept(int listener);

  grpc::Server& server_;
  const std::string path_;
  base::UniqueFd listener_;
  std::thread acceptor_;

  std::mutex mutex_;
  // Guarded by mutex_. Duplicates of those that gRPC has.
  std::vector<base::UniqueFd> connections_;
};

}  // namespace dp::fakes
