// SPDX-License-Identifier: Apache-2.0
// The Java program of tests/polyglot: `Peer serve CERT KEY` is a server, `Peer call CA` a client. echo.proto says what they read and print.
// Both sides use gRPC's calls themselves, below the stubs: one listener serves all four kinds of methods, and hears of cancels as events.
import com.google.protobuf.ByteString;
import com.google.protobuf.util.JsonFormat;
import io.grpc.CallOptions;
import io.grpc.ClientCall;
import io.grpc.Context;
import io.grpc.Deadline;
import io.grpc.ManagedChannel;
import io.grpc.Metadata;
import io.grpc.MethodDescriptor;
import io.grpc.Server;
import io.grpc.ServerCall;
import io.grpc.ServerServiceDefinition;
import io.grpc.Status;
import io.grpc.netty.GrpcSslContexts;
import io.grpc.netty.NettyChannelBuilder;
import io.grpc.netty.NettyServerBuilder;
import io.netty.handler.ssl.SslContextBuilder;
import io.netty.handler.ssl.SslProvider;
import java.io.BufferedReader;
import java.io.File;
import java.io.InputStreamReader;
import java.net.InetSocketAddress;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.TimeUnit;
import java.util.zip.Adler32;
import polyglot.Answer;
import polyglot.Ask;
import polyglot.Command;
import polyglot.EchoGrpc;
import polyglot.Event;
import polyglot.Pair;

public final class Peer {
    private static final int MOST = 64 << 20;
    private static final Metadata.Key<String> CALL = key("x-call");
    private static final Metadata.Key<byte[]> DETAILS = binaryKey("grpc-status-details-bin");
    private static final Map<String, MethodDescriptor<Ask, Answer>> METHODS = Map.of(
        "unary", EchoGrpc.getUnaryMethod(), "client", EchoGrpc.getClientStreamMethod(),
        "server", EchoGrpc.getServerStreamMethod(), "bidi", EchoGrpc.getBiDiMethod());

    private static Metadata.Key<String> key(String name) {
        return Metadata.Key.of(name, Metadata.ASCII_STRING_MARSHALLER);
    }

    private static Metadata.Key<byte[]> binaryKey(String name) {
        return Metadata.Key.of(name, Metadata.BINARY_BYTE_MARSHALLER);
    }

    private static double now() { // CLOCK_MONOTONIC on Linux
        return System.nanoTime() / 1e6;
    }

    private static Event.Builder event(String id, String name) {
        return Event.newBuilder().setId(id).setEvent(name).setAt(now());
    }

    private static synchronized void say(Event.Builder e) {
        try {
            System.out.println(JsonFormat.printer().omittingInsignificantWhitespace().print(e));
        } catch (Exception x) {
            throw new IllegalStateException(x);
        }
        System.out.flush();
    }

    private static List<Pair> pairs(Metadata metadata) {
        List<Pair> all = new ArrayList<>();
        for (String name : metadata == null ? List.<String>of() : metadata.keys()) {
            if (name.endsWith("-bin")) {
                metadata.getAll(binaryKey(name)).forEach(v -> all.add(Pair.newBuilder().setKey(name).setBin(ByteString.copyFrom(v)).build()));
            } else {
                metadata.getAll(key(name)).forEach(v -> all.add(Pair.newBuilder().setKey(name).setValue(v).build()));
            }
        }
        return all;
    }

    private static ByteString payload(int n) {
        byte[] b = new byte[n];
        for (int i = 0; i < n; i++) b[i] = (byte) i;
        return ByteString.copyFrom(b);
    }

    private static final class Sum {
        private final Adler32 adler = new Adler32();
        int received;
        private long bytes;

        void add(ByteString data) {
            received++;
            bytes += data.size();
            adler.update(data.toByteArray());
        }

        Event.Builder fill(Event.Builder e) {
            return e.setReceived(received).setBytes(bytes).setAdler(adler.getValue());
        }
    }

    // ---- the server

    private static final class Handler extends ServerCall.Listener<Ask> {
        private final ServerCall<Ask, Answer> call;
        private final String id;
        private final String kind;
        private final Metadata head = new Metadata();
        private final Metadata trailers = new Metadata();
        private final Sum got = new Sum();
        private Ask ask = Ask.getDefaultInstance();
        private int owed;
        private boolean askedAll;
        private boolean listed;
        private boolean headSent;
        private boolean over;

        Handler(String kind, ServerCall<Ask, Answer> call, Metadata metadata) {
            this.kind = kind;
            this.call = call;
            String named = metadata.get(CALL);
            id = named == null ? "" : named;
            Deadline until = Context.current().getDeadline();
            say(event(id, "begun").setLeft(until == null ? -1 : until.timeRemaining(TimeUnit.NANOSECONDS) / 1e6).addAllMetadata(pairs(metadata)));
            for (Pair p : pairs(metadata)) {
                Metadata to = p.getKey().startsWith("x-echo-") ? head : p.getKey().startsWith("x-trail-") ? trailers : null;
                if (to == null) continue;
                if (p.getKey().endsWith("-bin")) to.put(binaryKey(p.getKey()), p.getBin().toByteArray());
                else to.put(key(p.getKey()), p.getValue());
            }
            call.request(1);
        }

        @Override public void onMessage(Ask m) {
            got.add(m.getPayload());
            if (got.received == 1) ask = m;
            if (kind.equals("bidi")) owed = ask.getAnswers();
            step();
        }

        @Override public void onHalfClose() {
            askedAll = true;
            step();
        }

        @Override public void onReady() {
            if (owed > 0) step();
        }

        @Override public void onCancel() {
            if (over) return;
            say(event(id, "cancelled"));
            end("cancelled");
        }

        private void send() {
            if (!headSent) call.sendHeaders(head);
            headSent = true;
            call.sendMessage(Answer.newBuilder().setPayload(payload(ask.getSize())).build());
        }

        private void step() {
            while (owed > 0 && call.isReady()) {
                owed--;
                send();
            }
            if (over || owed > 0) return;
            if (!askedAll) {
                call.request(1);
            } else if (kind.equals("server") && !listed) {
                listed = true;
                owed = ask.getAnswers();
                step();
            } else if (!ask.getHold() && (got.received > 0 || isStreamOfQuestions())) { // cancelled early, a call may have but its end
                finish();
            }
        }

        private boolean isStreamOfQuestions() {
            return kind.equals("client") || kind.equals("bidi");
        }

        private void finish() {
            Status status = Status.OK;
            if (ask.getCode() != 0) {
                status = Status.fromCodeValue(ask.getCode()).withDescription(ask.getMessage());
                if (!ask.getDetails().isEmpty()) trailers.put(DETAILS, ask.getDetails().toByteArray());
            } else if (kind.equals("unary") || kind.equals("client")) {
                send();
            }
            if (status.isOk() && !headSent) call.sendHeaders(head);
            end(status.isOk() ? "done" : "failed");
            call.close(status, trailers);
        }

        private void end(String why) {
            over = true;
            say(got.fill(event(id, "ended")).setWhy(why));
        }
    }

    private static int serve(NettyServerBuilder builder) throws Exception {
        ServerServiceDefinition.Builder service = ServerServiceDefinition.builder(EchoGrpc.getServiceDescriptor());
        METHODS.forEach((kind, method) -> service.addMethod(method, (call, metadata) -> new Handler(kind, call, metadata)));
        Server server = builder.maxInboundMessageSize(MOST).addService(service.build()).build().start();
        return server.getPort();
    }

    private static NettyServerBuilder anyPort() {
        return NettyServerBuilder.forAddress(new InetSocketAddress("127.0.0.1", 0));
    }

    // ---- the client

    private static final class Asking extends ClientCall.Listener<Answer> {
        private final Command c;
        private final Sum got = new Sum();
        private ClientCall<Ask, Answer> call;
        private Metadata head;
        private int sent;

        Asking(Command c) {
            this.c = c;
        }

        private Ask question() {
            return (sent++ == 0 ? c.getAsk().toBuilder() : Ask.newBuilder()).setPayload(payload(c.getSize())).build();
        }

        private boolean send(int questions) {
            boolean more = sent < questions;
            if (more) call.sendMessage(question());
            else if (!c.getOpen()) call.halfClose();
            return more;
        }

        void start(ManagedChannel channel) {
            Metadata metadata = new Metadata();
            metadata.put(CALL, c.getId());
            for (Pair p : c.getMetadataList()) {
                if (p.getKey().endsWith("-bin")) metadata.put(binaryKey(p.getKey()), p.getBin().toByteArray());
                else metadata.put(key(p.getKey()), p.getValue());
            }
            say(event(c.getId(), "started"));
            CallOptions options = CallOptions.DEFAULT;
            if (c.getDeadline() > 0) options = options.withDeadlineAfter((long) (c.getDeadline() * 1e6), TimeUnit.NANOSECONDS);
            call = channel.newCall(METHODS.get(c.getMethod()), options);
            call.start(this, metadata);
            call.request(2);
            switch (c.getMethod()) {
                case "bidi": send(c.getSends()); break;
                case "client": while (send(c.getSends())) continue; break;
                default: call.sendMessage(question()); call.halfClose();
            }
        }

        void cancel() {
            say(event(c.getId(), "cancelling"));
            call.cancel("no longer wanted", null);
        }

        @Override public void onHeaders(Metadata metadata) {
            head = metadata;
        }

        @Override public void onMessage(Answer m) {
            got.add(m.getPayload());
            say(got.fill(event(c.getId(), "message")));
            call.request(1);
            if (c.getMethod().equals("bidi") && got.received == sent * c.getAsk().getAnswers()) send(c.getSends());
        }

        @Override public void onClose(Status status, Metadata metadata) {
            Event.Builder e = got.fill(event(c.getId(), "end")).setCode(status.getCode().value());
            if (status.getDescription() != null) e.setMessage(status.getDescription());
            byte[] details = metadata.get(DETAILS);
            if (details != null) e.setDetails(ByteString.copyFrom(details));
            say(e.addAllMetadata(pairs(head)).addAllTrailers(pairs(metadata)));
        }
    }

    private static ManagedChannel open(Command c, File ca) {
        String[] target = c.getTarget().split(":");
        NettyChannelBuilder b = NettyChannelBuilder.forAddress(target[0], Integer.parseInt(target[1])).maxInboundMessageSize(MOST);
        if (!c.getTls()) return b.usePlaintext().build();
        try {
            return b.sslContext(GrpcSslContexts.configure(SslContextBuilder.forClient().trustManager(ca), SslProvider.OPENSSL).build()).overrideAuthority("localhost").build();
        } catch (javax.net.ssl.SSLException e) {
            throw new IllegalStateException(e);
        }
    }

    private static void command(String line, File ca, Map<String, ManagedChannel> channels, Map<String, Asking> calls) throws Exception {
        Command.Builder b = Command.newBuilder();
        JsonFormat.parser().merge(line, b);
        Command c = b.build();
        if (c.getMethod().equals("cancel")) {
            calls.get(c.getId()).cancel();
            return;
        }
        Asking asking = new Asking(c);
        calls.put(c.getId(), asking);
        asking.start(channels.computeIfAbsent(c.getTarget() + c.getTls(), k -> open(c, ca)));
    }

    public static void main(String[] args) throws Exception {
        BufferedReader in = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
        if (args[0].equals("serve")) {
            int plain = serve(anyPort());
            int tls = serve(anyPort().sslContext(GrpcSslContexts.configure(SslContextBuilder.forServer(new File(args[1]), new File(args[2])), SslProvider.OPENSSL).build()));
            say(event("", "ready").setPlain(plain).setTls(tls));
            while (in.readLine() != null) continue;
        } else {
            Map<String, ManagedChannel> channels = new HashMap<>();
            Map<String, Asking> calls = new ConcurrentHashMap<>();
            say(event("", "ready"));
            for (String line; (line = in.readLine()) != null;) command(line, new File(args[1]), channels, calls);
        }
        System.exit(0);
    }
}
