// SPDX-License-Identifier: Apache-2.0
// The C++ program of tests/polyglot: `peer serve CERT KEY` is a server, `peer call CA` a client. echo.proto says what they read and print.
// The server has one reactor for all four methods, on gRPC's generic callback service: cancels come as events.
#include <google/protobuf/util/json_util.h>
#include <grpcpp/generic/async_generic_service.h>
#include <grpcpp/grpcpp.h>
#include <time.h>
#include <chrono>
#include <fstream>
#include <iostream>
#include <map>
#include <memory>
#include <mutex>
#include <sstream>
#include <thread>
#include "echo.grpc.pb.h"

using polyglot::Answer;
using polyglot::Ask;
using polyglot::Command;
using polyglot::Echo;
using polyglot::Event;
static const int most = 64 << 20;

static double now_ms() {
    timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return double(t.tv_sec) * 1e3 + double(t.tv_nsec) / 1e6;
}
static void say(Event e) {
    static std::mutex printing;
    if (e.at() == 0) e.set_at(now_ms());
    std::string line;
    if (!google::protobuf::util::MessageToJsonString(e, &line).ok()) abort();
    std::lock_guard<std::mutex> lock(printing);
    std::cout << line << std::endl;
}
static Event event(const std::string &id, const char *name) {
    Event e;
    e.set_id(id);
    e.set_event(name);
    return e;
}
static bool begins(const std::string &s, const char *with) { return s.rfind(with, 0) == 0; }
static bool is_binary(const std::string &key) { return key.size() > 4 && key.compare(key.size() - 4, 4, "-bin") == 0; }
static std::string text(const grpc::string_ref &s) { return std::string(s.data(), s.size()); }
using Metadata = std::multimap<grpc::string_ref, grpc::string_ref>;
template <class To> static void add_pairs(const Metadata &from, To *to) {
    for (const auto &kv : from) {
        auto *p = to->Add();
        p->set_key(text(kv.first));
        if (is_binary(p->key())) p->set_bin(text(kv.second));
        else p->set_value(text(kv.second));
    }
}
static std::string payload(int n) {
    std::string s(size_t(n), 0);
    for (int i = 0; i < n; i++) s[size_t(i)] = char(i);
    return s;
}
struct Sum {
    int received = 0;
    int64_t bytes = 0;
    uint32_t a = 1, b = 0;
    void add(const std::string &data) {
        received++;
        bytes += int64_t(data.size());
        for (unsigned char c : data) {
            a = (a + c) % 65521;
            b = (b + a) % 65521;
        }
    }
    Event fill(Event e) const {
        e.set_received(received);
        e.set_bytes(bytes);
        e.set_adler(int64_t(b) << 16 | a);
        return e;
    }
};

// ---- the server

class Reactor : public grpc::ServerGenericBidiReactor {
  public:
    explicit Reactor(grpc::GenericCallbackServerContext *context) : context_(context), method_(context->method()) {
        const auto &metadata = context->client_metadata();
        auto id = metadata.find("x-call");
        if (id != metadata.end()) id_ = text(id->second);
        Event e = event(id_, "begun");
        auto until = context->deadline();
        bool has = until < std::chrono::system_clock::now() + std::chrono::hours(24 * 365);
        e.set_left(has ? std::chrono::duration<double, std::milli>(until - std::chrono::system_clock::now()).count() : -1);
        add_pairs(metadata, e.mutable_metadata());
        say(e);
        if (!begins(method_, "/polyglot.Echo/")) {
            end("failed");
            Finish(grpc::Status(grpc::StatusCode::UNIMPLEMENTED, "no such method"));
            return;
        }
        for (const auto &kv : metadata) {
            std::string key = text(kv.first);
            if (begins(key, "x-echo-")) context->AddInitialMetadata(key, text(kv.second));
            if (begins(key, "x-trail-")) context->AddTrailingMetadata(key, text(kv.second));
        }
        StartRead(&in_);
    }
    void OnReadDone(bool ok) override {
        if (!ok) { // the end of the questions, or of the call
            asked_all_ = true;
            if (!context_->IsCancelled()) step();
            return;
        }
        Ask ask;
        if (!grpc::SerializationTraits<Ask>::Deserialize(&in_, &ask).ok()) abort();
        got_.add(ask.payload());
        if (got_.received == 1) ask_ = ask;
        if (is("BiDi")) owed_ = ask_.answers();
        step();
    }
    void OnWriteDone(bool ok) override {
        if (ok) step();
    }
    void OnCancel() override {
        std::lock_guard<std::mutex> lock(mutex_);
        if (ended_) return;
        Event e = event(id_, "cancelled");
        say(e);
        end_locked("cancelled");
        Finish(grpc::Status::CANCELLED);
    }
    void OnDone() override {
        delete this;
    }

  private:
    bool is(const char *name) const { return method_ == std::string("/polyglot.Echo/") + name; }
    // What is next: an answer, a question, the end.
    void step() {
        if (owed_ > 0) {
            owed_--;
            write();
        } else if (!asked_all_) {
            StartRead(&in_);
        } else if (is("ServerStream") && !listed_) {
            listed_ = true;
            owed_ = ask_.answers();
            step();
        } else if ((is("Unary") || is("ClientStream")) && !listed_ && !ask_.hold() && !ask_.code()) {
            listed_ = true;
            write();
        } else if (!ask_.hold()) {
            finish();
        }
    }
    void write() {
        Answer answer;
        answer.set_payload(payload(ask_.size()));
        out_.Clear();
        bool own;
        if (!grpc::SerializationTraits<Answer>::Serialize(answer, &out_, &own).ok()) abort();
        StartWrite(&out_);
    }
    void finish() {
        std::lock_guard<std::mutex> lock(mutex_);
        if (ended_) return;
        end_locked(ask_.code() ? "failed" : "done");
        Finish(ask_.code() ? grpc::Status(grpc::StatusCode(ask_.code()), ask_.message(), ask_.details()) : grpc::Status::OK);
    }
    void end(const char *why) {
        std::lock_guard<std::mutex> lock(mutex_);
        end_locked(why);
    }
    void end_locked(const char *why) {
        ended_ = true;
        Event e = event(id_, "ended");
        e.set_why(why);
        say(got_.fill(e));
    }
    grpc::GenericCallbackServerContext *context_;
    std::string method_, id_;
    grpc::ByteBuffer in_, out_;
    Ask ask_;
    Sum got_;
    int owed_ = 0;
    bool asked_all_ = false, listed_ = false, ended_ = false;
    std::mutex mutex_;
};
class Service : public grpc::CallbackGenericService {
    grpc::ServerGenericBidiReactor *CreateReactor(grpc::GenericCallbackServerContext *context) override { return new Reactor(context); }
};
static std::string contents(const char *path) {
    std::ifstream f(path);
    std::stringstream s;
    s << f.rdbuf();
    return s.str();
}
static int serve(const char *certificate, const char *key) {
    Service service;
    int plain = 0, tls = 0;
    grpc::SslServerCredentialsOptions options;
    options.pem_key_cert_pairs.push_back({ contents(key), contents(certificate) });
    grpc::ServerBuilder builder;
    builder.AddListeningPort("127.0.0.1:0", grpc::InsecureServerCredentials(), &plain);
    builder.AddListeningPort("127.0.0.1:0", grpc::SslServerCredentials(options), &tls);
    builder.SetMaxReceiveMessageSize(most).SetMaxSendMessageSize(most);
    builder.RegisterCallbackGenericService(&service);
    auto server = builder.BuildAndStart();
    Event e = event("", "ready");
    e.set_plain(plain);
    e.set_tls(tls);
    say(e);
    for (std::string line; std::getline(std::cin, line);) {}
    _exit(0);
}

// ---- the client

struct Asking {
    Command c;
    grpc::ClientContext context;
    Sum got;
    Ask question(int i) const {
        Ask a;
        if (i == 0) a = c.ask();
        a.set_payload(payload(c.size()));
        return a;
    }
    void message(const Answer &m) {
        got.add(m.payload());
        say(got.fill(event(c.id(), "message")));
    }
    grpc::Status unary(Echo::Stub *stub) {
        Answer m;
        auto s = stub->Unary(&context, question(0), &m);
        if (s.ok()) message(m);
        return s;
    }
    grpc::Status client(Echo::Stub *stub) {
        Answer m;
        auto stream = stub->ClientStream(&context, &m);
        for (int i = 0; i < c.sends(); i++) stream->Write(question(i));
        if (!c.open()) stream->WritesDone();
        auto s = stream->Finish();
        if (s.ok()) message(m);
        return s;
    }
    template <class Stream> void read(Stream &stream, int n) { // n < 0: to the end
        Answer m;
        for (int i = 0; i != n && stream->Read(&m); i++) message(m);
    }
    grpc::Status server(Echo::Stub *stub) {
        auto stream = stub->ServerStream(&context, question(0));
        read(stream, -1);
        return stream->Finish();
    }
    grpc::Status bidi(Echo::Stub *stub) {
        auto stream = stub->BiDi(&context);
        for (int i = 0; i < c.sends(); i++) {
            stream->Write(question(i));
            read(stream, c.ask().answers());
        }
        if (!c.open()) stream->WritesDone();
        read(stream, -1);
        return stream->Finish();
    }
    void run(Echo::Stub *stub) {
        context.AddMetadata("x-call", c.id());
        for (const auto &p : c.metadata()) context.AddMetadata(p.key(), is_binary(p.key()) ? p.bin() : p.value());
        say(event(c.id(), "started"));
        if (c.deadline() > 0) context.set_deadline(std::chrono::system_clock::now() + std::chrono::microseconds(int64_t(c.deadline() * 1e3)));
        const std::string &m = c.method();
        auto s = m == "unary" ? unary(stub) : m == "client" ? client(stub) : m == "server" ? server(stub) : bidi(stub);
        Event e = event(c.id(), "end");
        e.set_at(now_ms());
        e.set_code(s.error_code());
        e.set_message(s.error_message());
        e.set_details(s.error_details());
        add_pairs(context.GetServerInitialMetadata(), e.mutable_metadata());
        add_pairs(context.GetServerTrailingMetadata(), e.mutable_trailers());
        say(got.fill(e));
    }
};
static std::shared_ptr<grpc::Channel> channel(const Command &c, const std::string &ca) {
    static std::map<std::pair<std::string, bool>, std::shared_ptr<grpc::Channel>> channels;
    auto &ch = channels[{ c.target(), c.tls() }];
    if (ch) return ch;
    grpc::ChannelArguments arguments;
    arguments.SetMaxReceiveMessageSize(most);
    arguments.SetMaxSendMessageSize(most);
    if (c.tls()) arguments.SetSslTargetNameOverride("localhost");
    grpc::SslCredentialsOptions options;
    options.pem_root_certs = ca;
    return ch = grpc::CreateCustomChannel(c.target(), c.tls() ? grpc::SslCredentials(options) : grpc::InsecureChannelCredentials(), arguments);
}
static int call(const char *ca_file) {
    std::string ca = contents(ca_file);
    std::map<std::string, std::shared_ptr<Asking>> calls;
    say(event("", "ready"));
    for (std::string line; std::getline(std::cin, line);) {
        Command c;
        if (!google::protobuf::util::JsonStringToMessage(line, &c).ok()) abort();
        if (c.method() == "cancel") {
            say(event(c.id(), "cancelling"));
            calls[c.id()]->context.TryCancel();
            continue;
        }
        auto asking = calls[c.id()] = std::make_shared<Asking>();
        asking->c = c;
        std::thread([asking, ch = channel(c, ca)] {
            auto stub = Echo::NewStub(ch);
            asking->run(stub.get());
        }).detach();
    }
    _exit(0);
}

int main(int argc, char **argv) {
    if (argc == 4 && std::string(argv[1]) == "serve") return serve(argv[2], argv[3]);
    if (argc == 3 && std::string(argv[1]) == "call") return call(argv[2]);
    std::cerr << "usage: peer serve CERT KEY | peer call CA\n";
    return 2;
}
