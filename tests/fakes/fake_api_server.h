// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <list>
#include <map>
#include <memory>
#include <mutex>
#include <nlohmann/json.hpp>
#include <string>
#include <thread>
#include <vector>

#include "plugin/base/unique_fd.h"

namespace dp::fakes {

// An API server of Kubernetes over HTTP on a loopback port, as far as controller and monitor use
// one: KubeVirt CRs, nodes in pages, leases, Events, subresources "status"; GET, JSON Patch,
// strategic merge of conditions, PUT and POST with resourceVersions as the real one gives and
// checks them. It knows no schemas, no accounts and no admission. All of it from any thread.
class FakeApiServer {
 public:
  using Json = nlohmann::json;

  // How a request is answered instead of properly.
  enum class Answer {
    kStatus,          // with `code` and, as the message of a Status, `text`
    kHalf,            // properly, but only half of it arrives
    kNone,            // never
    kGarbage,         // `text` with status 200
    kHangUp,          // the connection ends without a byte
    kDoneThenHangUp,  // what is asked for is done, and nobody is told
  };
  struct Fault {
    std::string method;  // "PATCH"; empty: any
    std::string path;    // what its path must contain
    Answer answer = Answer::kStatus;
    int code = 500;
    std::string text;
    int times = 1;                 // how often
    std::string retry_after = {};  // of kStatus: the header of this name; empty: none
  };

  FakeApiServer();
  FakeApiServer(const FakeApiServer&) = delete;
  FakeApiServer& operator=(const FakeApiServer&) = delete;
  ~FakeApiServer();

  [[nodiscard]] std::string url() const;

  // Stores an object at its path, with a new resourceVersion, as somebody else would.
  void Put(const std::string& path, Json object);
  void Remove(const std::string& path);
  // Null if there is none.
  [[nodiscard]] Json At(const std::string& path);
  // Those whose path contains `part`, in the order of their paths.
  [[nodiscard]] std::vector<Json> All(const std::string& part);
  // "kubevirt/kubevirt" and "/api/v1/nodes/n1" for short.
  void PutKubeVirt(const std::string& name, Json spec, Json annotations = nullptr);
  [[nodiscard]] Json KubeVirt(const std::string& name);
  void PutNode(const std::string& name, const std::map<std::string, std::string>& allocatable);
  // Without it, lists of KubeVirt CRs are not found.
  void InstallCrd(bool installed);

  void Inject(Fault fault);
  // Called before the next request of this kind is looked at: what others do in between.
  void BeforeNext(const std::string& method, const std::string& path, std::function<void()> what);

  // Requests of this method (empty: any) whose path contains `path` (empty: any).
  [[nodiscard]] int Count(const std::string& method, const std::string& path = "");
  // PATCH, PUT, POST and DELETE that were asked for, whatever came of them.
  [[nodiscard]] int Writes();
  [[nodiscard]] std::string LastHeader(const std::string& name);
  // Whether it comes to that many within ten seconds.
  [[nodiscard]] bool WaitForCount(const std::string& method, const std::string& path, int count);

 private:
  struct Request {
    std::string method;
    std::string path;
    std::string query;
    std::map<std::string, std::string> headers;  // lower-case names
    std::string body;
  };
  struct Response {
    int code = 200;
    Json body;
  };
  struct Hook {
    std::string method;
    std::string path;
    std::function<void()> what;
  };

  void Accept();
  void Serve(base::UniqueFd connection);
  bool Read(int fd, Request& request) const;
  void Send(int fd, int code, const std::string& body, bool half,
            const std::string& retry_after = {}) const;
  void WaitForEnd(int fd) const;
  Response Handle(const Request& request);
  Response List(const std::string& part, const std::string& query);
  Response Write(const Request& request);
  void Store(const std::string& path, Json object);

  base::UniqueFd listener_;
  base::UniqueFd stop_;  // readable: end
  std::uint16_t port_ = 0;

  std::mutex mutex_;
  std::map<std::string, Json> objects_;
  std::vector<std::pair<std::string, std::string>> requests_;  // method, path with query
  std::map<std::string, std::string> last_headers_;
  std::list<Fault> faults_;
  std::list<Hook> hooks_;
  std::uint64_t version_ = 1000;
  bool crd_installed_ = true;
  std::list<std::thread> connections_;
  std::thread acceptor_;
};

}  // namespace dp::fakes
