// SPDX-License-Identifier: Apache-2.0
#include "tests/fakes/fake_api_server.h"

#include <arpa/inet.h>
#include <fmt/format.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <condition_variable>
#include <cstdio>
#include <cstdlib>
#include <optional>
#include <sstream>
#include <utility>

namespace dp::fakes {
namespace {

using Json = nlohmann::json;

constexpr int kConflict = 409;
constexpr int kNotFound = 404;
constexpr int kUnprocessable = 422;

[[noreturn]] void Die(const char* what) {
  std::perror(what);
  std::abort();
}

Json StatusObject(int code, const std::string& reason, const std::string& message) {
  return {{"kind", "Status"},   {"apiVersion", "v1"}, {"status", "Failure"},
          {"message", message}, {"reason", reason},   {"code", code}};
}

std::string KubeVirtPath(const std::string& name) {
  return "/apis/kubevirt.io/v1/namespaces/kubevirt/kubevirts/" + name;
}

bool IsWrite(const std::string& method) { return method != "GET"; }

// Strategic merge, of which only the conditions of a node are needed: a list merged by "type".
void MergeStrategically(Json& object, const Json& change) {
  for (const auto& [key, value] : change.items()) {
    if (key == "conditions" && value.is_array()) {
      Json& conditions = object[key];
      for (const Json& condition : value) {
        const auto same = std::find_if(conditions.begin(), conditions.end(), [&](const Json& old) {
          return old["type"] == condition["type"];
        });
        if (same == conditions.end()) {
          conditions.push_back(condition);
        } else {
          same->update(condition);
        }
      }
    } else if (value.is_object()) {
      MergeStrategically(object[key], value);
    } else {
      object[key] = value;
    }
  }
}

// The value of `key` in a query.
std::string InQuery(const std::string& query, const std::string& key) {
  std::istringstream parts(query);
  for (std::string part; std::getline(parts, part, '&');) {
    if (part.starts_with(key + "=")) return part.substr(key.size() + 1);
  }
  return {};
}

}  // namespace

FakeApiServer::FakeApiServer()
    : listener_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)),
      stop_(::eventfd(0, EFD_CLOEXEC)) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t length = sizeof address;
  constexpr int kBacklog = 64;
  if (::bind(listener_.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) != 0 ||
      ::listen(listener_.get(), kBacklog) != 0 ||
      ::getsockname(listener_.get(), reinterpret_cast<sockaddr*>(&address), &length) != 0) {
    Die("FakeApiServer: listen");
  }
  port_ = ntohs(address.sin_port);
  acceptor_ = std::thread([this] { Accept(); });
}

FakeApiServer::~FakeApiServer() {
  const std::uint64_t one = 1;
  if (::write(stop_.get(), &one, sizeof one) != sizeof one) Die("FakeApiServer: write");
  acceptor_.join();
  for (std::thread& connection : connections_) connection.join();
}

std::string FakeApiServer::url() const { return fmt::format("http://127.0.0.1:{}", port_); }

void FakeApiServer::Store(const std::string& path, Json object) {
  object["metadata"]["resourceVersion"] = std::to_string(++version_);
  objects_[path] = std::move(object);
}

void FakeApiServer::Put(const std::string& path, Json object) {
  const std::lock_guard lock(mutex_);
  Store(path, std::move(object));
}

void FakeApiServer::Remove(const std::string& path) {
  const std::lock_guard lock(mutex_);
  objects_.erase(path);
}

Json FakeApiServer::At(const std::string& path) {
  const std::lock_guard lock(mutex_);
  const auto found = objects_.find(path);
  return found == objects_.end() ? Json() : found->second;
}

std::vector<Json> FakeApiServer::All(const std::string& part) {
  const std::lock_guard lock(mutex_);
  std::vector<Json> found;
  for (const auto& [path, object] : objects_) {
    if (path.find(part) != std::string::npos) found.push_back(object);
  }
  return found;
}

void FakeApiServer::PutKubeVirt(const std::string& name, Json spec, Json annotations) {
  Json object{{"apiVersion", "kubevirt.io/v1"},
              {"kind", "KubeVirt"},
              {"metadata", {{"namespace", "kubevirt"}, {"name", name}}},
              {"spec", std::move(spec)}};
  if (!annotations.is_null()) object["metadata"]["annotations"] = std::move(annotations);
  Put(KubeVirtPath(name), std::move(object));
}

Json FakeApiServer::KubeVirt(const std::string& name) { return At(KubeVirtPath(name)); }

void FakeApiServer::PutNode(const std::string& name,
                            const std::map<std::string, std::string>& allocatable) {
  Put("/api/v1/nodes/" + name, {{"kind", "Node"},
                                {"apiVersion", "v1"},
                                {"metadata", {{"name", name}, {"uid", "uid-of-" + name}}},
                                {"status", {{"allocatable", allocatable}}}});
}

void FakeApiServer::InstallCrd(bool installed) {
  const std::lock_guard lock(mutex_);
  crd_installed_ = installed;
}

void FakeApiServer::Inject(Fault fault) {
  const std::lock_guard lock(mutex_);
  faults_.push_back(std::move(fault));
}

void FakeApiServer::BeforeNext(const std::string& method, const std::string& path,
                               std::function<void()> what) {
  const std::lock_guard lock(mutex_);
  hooks_.push_back({method, path, std::move(what)});
}

int FakeApiServer::Count(const std::string& method, const std::string& path) {
  const std::lock_guard lock(mutex_);
  return static_cast<int>(
      std::count_if(requests_.begin(), requests_.end(), [&](const auto& request) {
        return (method.empty() || request.first == method) &&
               request.second.find(path) != std::string::npos;
      }));
}

int FakeApiServer::Writes() {
  const std::lock_guard lock(mutex_);
  return static_cast<int>(
      std::count_if(requests_.begin(), requests_.end(),
                    [](const auto& request) { return IsWrite(request.first); }));
}

std::string FakeApiServer::LastHeader(const std::string& name) {
  const std::lock_guard lock(mutex_);
  return last_headers_[name];
}

bool FakeApiServer::WaitForCount(const std::string& method, const std::string& path, int count) {
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(10);
  while (Count(method, path) < count) {
    if (std::chrono::steady_clock::now() > deadline) return false;
    ::poll(nullptr, 0, 5);
  }
  return true;
}

void FakeApiServer::Accept() {
  for (;;) {
    std::array<pollfd, 2> fds{pollfd{listener_.get(), POLLIN, 0}, pollfd{stop_.get(), POLLIN, 0}};
    if (::poll(fds.data(), fds.size(), -1) < 0) continue;
    if (fds[1].revents != 0) return;
    const int accepted = ::accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC);
    if (accepted < 0) continue;
    connections_.emplace_back(
        [this, connection = base::UniqueFd(accepted)]() mutable { Serve(std::move(connection)); });
  }
}

// One request; false: the other side has gone, or the server ends.
bool FakeApiServer::Read(int fd, Request& request) const {
  std::string data;
  std::size_t head_end = std::string::npos;
  std::size_t length = 0;
  while (head_end == std::string::npos || data.size() < head_end + 4 + length) {
    std::array<pollfd, 2> fds{pollfd{fd, POLLIN, 0}, pollfd{stop_.get(), POLLIN, 0}};
    if (::poll(fds.data(), fds.size(), -1) < 0 || fds[1].revents != 0) return false;
    std::array<char, 16384> chunk{};
    const ssize_t count = ::recv(fd, chunk.data(), chunk.size(), 0);
    if (count <= 0) return false;
    data.append(chunk.data(), static_cast<std::size_t>(count));
    if (head_end != std::string::npos) continue;
    head_end = data.find("\r\n\r\n");
    if (head_end == std::string::npos) continue;
    std::istringstream head(data.substr(0, head_end));
    std::string target;
    head >> request.method >> target;
    const std::size_t mark = target.find('?');
    request.path = target.substr(0, mark);
    request.query = mark == std::string::npos ? "" : target.substr(mark + 1);
    std::string line;
    std::getline(head, line);
    while (std::getline(head, line)) {
      if (!line.empty() && line.back() == '\r') line.pop_back();
      const std::size_t colon = line.find(':');
      if (colon == std::string::npos) continue;
      std::string name = line.substr(0, colon);
      std::transform(name.begin(), name.end(), name.begin(),
                     [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
      const std::size_t value = line.find_first_not_of(' ', colon + 1);
      request.headers[name] = value == std::string::npos ? "" : line.substr(value);
    }
    if (const auto found = request.headers.find("content-length"); found != request.headers.end()) {
      length = std::strtoul(found->second.c_str(), nullptr, 10);
    }
  }
  request.body = data.substr(head_end + 4);
  return true;
}

void FakeApiServer::Send(int fd, int code, const std::string& body, bool half,
                         const std::string& retry_after) const {
  std::string answer = fmt::format(
      "HTTP/1.1 {} Whatever\r\nContent-Type: application/json\r\nContent-Length: {}\r\n"
      "{}Connection: close\r\n\r\n",
      code, body.size(),
      retry_after.empty() ? "" : fmt::format("Retry-After: {}\r\n", retry_after));
  answer += half ? body.substr(0, body.size() / 2) : body;
  std::size_t sent = 0;
  while (sent < answer.size()) {
    const ssize_t count = ::send(fd, answer.data() + sent, answer.size() - sent, MSG_NOSIGNAL);
    if (count <= 0) return;
    sent += static_cast<std::size_t>(count);
  }
}

void FakeApiServer::WaitForEnd(int fd) const {
  std::array<pollfd, 2> fds{pollfd{fd, POLLIN, 0}, pollfd{stop_.get(), POLLIN, 0}};
  ::poll(fds.data(), fds.size(), -1);
}

void FakeApiServer::Serve(base::UniqueFd connection) {
  Request request;
  if (!Read(connection.get(), request)) return;
  std::function<void()> before;
  std::optional<Fault> fault;
  {
    const std::lock_guard lock(mutex_);
    const auto fits = [&](const auto& rule) {
      return (rule.method.empty() || rule.method == request.method) &&
             request.path.find(rule.path) != std::string::npos;
    };
    last_headers_ = request.headers;
    const auto hook = std::find_if(hooks_.begin(), hooks_.end(), fits);
    if (hook != hooks_.end()) {
      before = std::move(hook->what);
      hooks_.erase(hook);
    }
    const auto found = std::find_if(faults_.begin(), faults_.end(), fits);
    if (found != faults_.end()) {
      fault = *found;
      if (--found->times == 0) faults_.erase(found);
    }
  }
  if (before) before();
  Response response;
  const bool is_done =
      !fault || fault->answer == Answer::kHalf || fault->answer == Answer::kDoneThenHangUp;
  if (is_done) response = Handle(request);
  {
    // Counted when it is done, so that who has waited for it finds what it did.
    const std::lock_guard lock(mutex_);
    requests_.emplace_back(
        request.method, request.query.empty() ? request.path : request.path + "?" + request.query);
  }
  if (!fault) {
    Send(connection.get(), response.code, response.body.dump(), false);
    return;
  }
  switch (fault->answer) {
    case Answer::kStatus:
      Send(connection.get(), fault->code, StatusObject(fault->code, "", fault->text).dump(), false,
           fault->retry_after);
      return;
    case Answer::kHalf:
      Send(connection.get(), response.code, response.body.dump(), true);
      return;
    case Answer::kGarbage:
      Send(connection.get(), 200, fault->text, false);
      return;
    case Answer::kNone:
      WaitForEnd(connection.get());
      return;
    case Answer::kHangUp:
    case Answer::kDoneThenHangUp:
      return;
  }
}

FakeApiServer::Response FakeApiServer::List(const std::string& part, const std::string& query) {
  Json items = Json::array();
  const std::string limit = InQuery(query, "limit");
  const std::string start = InQuery(query, "continue");
  const std::size_t most = limit.empty() ? SIZE_MAX : std::strtoul(limit.c_str(), nullptr, 10);
  Json list{{"kind", "List"}, {"apiVersion", "v1"}, {"metadata", Json::object()}};
  std::size_t number = 0;
  const std::size_t first = start.empty() ? 0 : std::strtoul(start.c_str(), nullptr, 10);
  for (const auto& [path, object] : objects_) {
    if (path.find(part) == std::string::npos || number++ < first) continue;
    if (items.size() == most) {
      list["metadata"]["continue"] = std::to_string(number - 1);
      break;
    }
    items.push_back(object);
  }
  list["metadata"]["resourceVersion"] = std::to_string(version_);
  list["items"] = std::move(items);
  return {200, std::move(list)};
}

FakeApiServer::Response FakeApiServer::Write(const Request& request) {
  const auto failed = [](int code, const char* reason, const std::string& message) {
    return Response{code, StatusObject(code, reason, message)};
  };
  Json content = Json::parse(request.body);
  if (request.method == "POST") {
    const std::string path = request.path + "/" + content["metadata"]["name"].get<std::string>();
    if (objects_.count(path) != 0) return failed(kConflict, "AlreadyExists", path + " exists");
    Store(path, std::move(content));
    return {201, objects_[path]};
  }
  // A subresource "status" is the object, of which only `status` is written.
  constexpr std::string_view kStatus = "/status";
  const bool is_status = request.path.ends_with(kStatus);
  const std::string path =
      is_status ? request.path.substr(0, request.path.size() - kStatus.size()) : request.path;
  const auto found = objects_.find(path);
  if (found == objects_.end()) return failed(kNotFound, "NotFound", path + " not found");
  Json& object = found->second;
  Json changed;
  if (request.method == "PATCH") {
    const auto type = request.headers.find("content-type");
    try {
      if (type != request.headers.end() && type->second.find("strategic") != std::string::npos) {
        changed = object;
        MergeStrategically(changed, content);
      } else {
        changed = object.patch(content);
      }
    } catch (const Json::exception& error) {
      return failed(kUnprocessable, "Invalid", "the server rejected our request due to an error");
    }
  } else {
    changed = std::move(content);
  }
  if (changed["metadata"]["resourceVersion"] != object["metadata"]["resourceVersion"]) {
    return failed(kConflict, "Conflict", "the object has been modified");
  }
  if (is_status) {
    Json whole = object;
    whole["status"] = changed["status"];
    changed = std::move(whole);
  }
  if (changed != object) Store(path, std::move(changed));
  return {200, objects_[path]};
}

FakeApiServer::Response FakeApiServer::Handle(const Request& request) {
  const std::lock_guard lock(mutex_);
  Response not_found{kNotFound, StatusObject(kNotFound, "NotFound", "not found")};
  if (request.path.starts_with("/apis/kubevirt.io/") && !crd_installed_) return not_found;
  if (request.method != "GET") return Write(request);
  if (request.path == "/apis/kubevirt.io/v1/kubevirts") return List("/kubevirts/", request.query);
  if (request.path == "/api/v1/nodes") return List("/api/v1/nodes/", request.query);
  const auto found = objects_.find(request.path);
  return found == objects_.end() ? not_found : Response{200, found->second};
}

}  // namespace dp::fakes
