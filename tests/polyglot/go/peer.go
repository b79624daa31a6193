// SPDX-License-Identifier: Apache-2.0

// The Go program of tests/polyglot: `peer serve CERT KEY` is a server, `peer call CA` a client. echo.proto says what they read and print.
package main

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"hash/adler32"
	"io"
	"net"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/golang/protobuf/jsonpb"
	"github.com/golang/protobuf/proto"
	"golang.org/x/sys/unix"
	spb "google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"interop"
	pb "polyglot"
)

const most = 64 << 20 // bytes of a message

var printing sync.Mutex

func now() float64 {
	var t unix.Timespec
	_ = unix.ClockGettime(unix.CLOCK_MONOTONIC, &t)
	return float64(t.Sec)*1e3 + float64(t.Nsec)/1e6
}

func say(e *pb.Event) {
	if e.At == 0 {
		e.At = now()
	}
	line, err := (&jsonpb.Marshaler{}).MarshalToString(e)
	if err != nil {
		panic(err)
	}
	printing.Lock()
	defer printing.Unlock()
	os.Stdout.WriteString(line + "\n")
}

func pairs(md metadata.MD) (all []*pb.Pair) {
	for key, values := range md {
		for _, v := range values {
			if strings.HasSuffix(key, "-bin") {
				all = append(all, &pb.Pair{Key: key, Bin: []byte(v)})
			} else {
				all = append(all, &pb.Pair{Key: key, Value: v})
			}
		}
	}
	return all
}

func payload(n int32) []byte {
	p := make([]byte, n)
	for i := range p {
		p[i] = byte(i)
	}
	return p
}

// What came of payloads.
type sum struct {
	messages, bytes int
	adler           uint32
	hash            interface {
		io.Writer
		Sum32() uint32
	}
}

func (s *sum) add(p []byte) {
	if s.hash == nil {
		s.hash = adler32.New()
	}
	s.messages++
	s.bytes += len(p)
	s.hash.Write(p)
	s.adler = s.hash.Sum32()
}

func (s *sum) fill(e *pb.Event) *pb.Event {
	e.Received, e.Bytes, e.Adler = int32(s.messages), int64(s.bytes), int64(s.adler)
	return e
}

// ---- the server

type call struct {
	ctx       context.Context
	id        string
	got       sum
	mu        sync.Mutex
	cancelled bool
	ended     bool
}

func begin(ctx context.Context, head func(metadata.MD) error, trailer func(metadata.MD)) *call {
	md, _ := metadata.FromIncomingContext(ctx)
	c := &call{ctx: ctx}
	if v := md.Get("x-call"); len(v) > 0 {
		c.id = v[0]
	}
	left := -1.0
	if until, ok := ctx.Deadline(); ok {
		left = float64(time.Until(until)) / 1e6
	}
	say(&pb.Event{Id: c.id, Event: "begun", Left: left, Metadata: pairs(md)})
	h, t := metadata.MD{}, metadata.MD{}
	for key, values := range md {
		if strings.HasPrefix(key, "x-echo-") {
			h[key] = values
		} else if strings.HasPrefix(key, "x-trail-") {
			t[key] = values
		}
	}
	_ = head(h)
	trailer(t)
	go func() {
		<-ctx.Done()
		c.sawCancel()
	}()
	return c
}

func (c *call) sawCancel() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.cancelled && !c.ended {
		c.cancelled = true
		say(&pb.Event{Id: c.id, Event: "cancelled", Why: c.ctx.Err().Error()})
	}
}

func (c *call) end(err error) error {
	why := "done"
	if c.ctx.Err() != nil {
		c.sawCancel()
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.ended = true
	if c.cancelled {
		why = "cancelled"
	} else if err != nil {
		why = "failed"
	}
	say(c.got.fill(&pb.Event{Id: c.id, Event: "ended", Why: why}))
	return err
}

func (c *call) lost() error { // reading or writing failed, which it does once the call is cancelled
	<-c.ctx.Done()
	return status.FromContextError(c.ctx.Err()).Err()
}

func (c *call) finish(a *pb.Ask) error {
	if a.Hold {
		return c.lost()
	}
	if a.Code == 0 {
		return nil
	}
	if len(a.Details) == 0 {
		return status.Error(codes.Code(a.Code), a.Message)
	}
	s := &spb.Status{}
	if err := proto.Unmarshal(a.Details, s); err != nil {
		return err
	}
	return status.ErrorProto(s)
}

type echo struct{}

func (echo) Unary(ctx context.Context, a *pb.Ask) (*pb.Answer, error) {
	c := begin(ctx, func(md metadata.MD) error { return grpc.SetHeader(ctx, md) }, func(md metadata.MD) { _ = grpc.SetTrailer(ctx, md) })
	c.got.add(a.Payload)
	err := c.finish(a)
	if c.end(err) != nil {
		return nil, err
	}
	return &pb.Answer{Payload: payload(a.Size)}, nil
}

func (echo) ClientStream(s pb.Echo_ClientStreamServer) error {
	c := begin(s.Context(), s.SetHeader, s.SetTrailer)
	var first *pb.Ask
	for {
		a, err := s.Recv()
		if err == io.EOF {
			break
		}
		if err != nil {
			return c.end(c.lost())
		}
		if first == nil {
			first = a
		}
		c.got.add(a.Payload)
	}
	if first == nil {
		first = &pb.Ask{}
	}
	err := c.finish(first)
	if err == nil {
		err = s.SendAndClose(&pb.Answer{Payload: payload(first.Size)})
	}
	return c.end(err)
}

func (echo) ServerStream(a *pb.Ask, s pb.Echo_ServerStreamServer) error {
	c := begin(s.Context(), s.SetHeader, s.SetTrailer)
	c.got.add(a.Payload)
	for i := int32(0); i < a.Answers; i++ {
		if s.Send(&pb.Answer{Payload: payload(a.Size)}) != nil {
			return c.end(c.lost())
		}
	}
	return c.end(c.finish(a))
}

func (echo) BiDi(s pb.Echo_BiDiServer) error {
	c := begin(s.Context(), s.SetHeader, s.SetTrailer)
	var first *pb.Ask
	for {
		a, err := s.Recv()
		if err == io.EOF {
			break
		}
		if err != nil {
			return c.end(c.lost())
		}
		c.got.add(a.Payload)
		if first == nil {
			first = a
		}
		for i := int32(0); i < first.Answers; i++ {
			if s.Send(&pb.Answer{Payload: payload(first.Size)}) != nil {
				return c.end(c.lost())
			}
		}
	}
	if first == nil {
		first = &pb.Ask{}
	}
	return c.end(c.finish(first))
}

func serve(options ...grpc.ServerOption) int32 {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		panic(err)
	}
	s := grpc.NewServer(append(options, grpc.MaxRecvMsgSize(most), grpc.MaxSendMsgSize(most))...)
	pb.RegisterEchoServer(s, echo{})
	interop.RegisterTestServiceServer(s, &testService{})
	go func() { panic(s.Serve(l)) }()
	return int32(l.Addr().(*net.TCPAddr).Port)
}

// ---- the client

type client struct {
	ca    string
	mu    sync.Mutex
	conns map[string]*grpc.ClientConn
	calls map[string]context.CancelFunc
}

func (k *client) conn(c *pb.Command) (*grpc.ClientConn, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	key := fmt.Sprint(c.Target, c.Tls)
	if k.conns[key] != nil {
		return k.conns[key], nil
	}
	secure := grpc.WithInsecure()
	if c.Tls {
		creds, err := credentials.NewClientTLSFromFile(k.ca, "localhost")
		if err != nil {
			return nil, err
		}
		secure = grpc.WithTransportCredentials(creds)
	}
	conn, err := grpc.Dial(c.Target, secure, grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(most), grpc.MaxCallSendMsgSize(most)))
	k.conns[key] = conn
	return conn, err
}

func outgoing(c *pb.Command) metadata.MD {
	md := metadata.Pairs("x-call", c.Id)
	for _, p := range c.Metadata {
		if strings.HasSuffix(p.Key, "-bin") {
			md.Append(p.Key, string(p.Bin))
		} else {
			md.Append(p.Key, p.Value)
		}
	}
	return md
}

// One call's progress, and the questions it has.
type asking struct {
	c   *pb.Command
	got sum
}

func (a *asking) question(i int32) *pb.Ask {
	ask := &pb.Ask{}
	if i == 0 && a.c.Ask != nil {
		ask = a.c.Ask
	}
	ask.Payload = payload(a.c.Size)
	return ask
}

func (a *asking) message(m *pb.Answer) {
	a.got.add(m.Payload)
	say(a.got.fill(&pb.Event{Id: a.c.Id, Event: "message"}))
}

func (a *asking) answers(recv func() (*pb.Answer, error), n int32) error { // n < 0: to the end
	for i := int32(0); i != n; i++ {
		m, err := recv()
		if err != nil {
			return err
		}
		a.message(m)
	}
	return nil
}

func (a *asking) unary(ctx context.Context, e pb.EchoClient, h, t *metadata.MD) error {
	m, err := e.Unary(ctx, a.question(0), grpc.Header(h), grpc.Trailer(t))
	if err == nil {
		a.message(m)
	}
	return err
}

func (a *asking) clientStream(ctx context.Context, e pb.EchoClient, h, t *metadata.MD) error {
	s, err := e.ClientStream(ctx, grpc.Header(h), grpc.Trailer(t))
	for i := int32(0); err == nil && i < a.c.Sends; i++ {
		err = s.Send(a.question(i))
	}
	if s == nil {
		return err
	}
	m := &pb.Answer{}
	if a.c.Open || err == io.EOF {
		err = s.RecvMsg(m)
	} else if err == nil {
		m, err = s.CloseAndRecv()
	}
	if err == nil {
		a.message(m)
	}
	return err
}

func (a *asking) serverStream(ctx context.Context, e pb.EchoClient, h, t *metadata.MD) error {
	s, err := e.ServerStream(ctx, a.question(0), grpc.Header(h), grpc.Trailer(t))
	if err != nil {
		return err
	}
	return a.answers(s.Recv, -1)
}

func (a *asking) bidi(ctx context.Context, e pb.EchoClient, h, t *metadata.MD) error {
	s, err := e.BiDi(ctx, grpc.Header(h), grpc.Trailer(t))
	for i := int32(0); err == nil && i < a.c.Sends; i++ {
		if err = s.Send(a.question(i)); err == nil {
			err = a.answers(s.Recv, a.c.GetAsk().GetAnswers())
		}
	}
	if s == nil || (err != nil && err != io.EOF) {
		return err
	}
	if !a.c.Open {
		_ = s.CloseSend()
	}
	return a.answers(s.Recv, -1)
}

func (k *client) run(c *pb.Command, ctx context.Context, cancel context.CancelFunc) {
	defer cancel()
	conn, err := k.conn(c)
	if err != nil {
		panic(err)
	}
	if c.Method == "interop" {
		e := &pb.Event{Id: c.Id, Event: "passed"}
		if err := runCase(c, metadata.NewOutgoingContext(context.Background(), outgoing(c)), conn); err != nil {
			e.Message = err.Error()
		}
		say(e)
		return
	}
	h, t := metadata.MD{}, metadata.MD{}
	a := &asking{c: c}
	calls := map[string]func(context.Context, pb.EchoClient, *metadata.MD, *metadata.MD) error{
		"unary": a.unary, "client": a.clientStream, "server": a.serverStream, "bidi": a.bidi}
	say(&pb.Event{Id: c.Id, Event: "started"})
	err = calls[c.Method](metadata.NewOutgoingContext(ctx, outgoing(c)), pb.NewEchoClient(conn), &h, &t)
	at := now()
	if err == io.EOF {
		err = nil
	}
	s := status.Convert(err)
	e := &pb.Event{Id: c.Id, Event: "end", At: at, Code: int32(s.Code()), Message: s.Message(), Metadata: pairs(h), Trailers: pairs(t)}
	if len(s.Proto().GetDetails()) > 0 {
		e.Details, _ = proto.Marshal(s.Proto())
	}
	say(a.got.fill(e))
}

func (k *client) command(line []byte) {
	c := &pb.Command{}
	if err := jsonpb.Unmarshal(bytes.NewReader(line), c); err != nil {
		panic(err)
	}
	k.mu.Lock()
	cancel := k.calls[c.Id]
	k.mu.Unlock()
	if c.Method == "cancel" {
		say(&pb.Event{Id: c.Id, Event: "cancelling"})
		cancel()
		return
	}
	ctx, cancel := context.WithCancel(context.Background())
	if c.Deadline > 0 {
		ctx, cancel = context.WithTimeout(context.Background(), time.Duration(c.Deadline*1e6))
	}
	k.mu.Lock()
	k.calls[c.Id] = cancel
	k.mu.Unlock()
	go k.run(c, ctx, cancel)
}

func main() {
	if os.Args[1] == "serve" {
		creds, err := credentials.NewServerTLSFromFile(os.Args[2], os.Args[3])
		if err != nil {
			panic(err)
		}
		say(&pb.Event{Event: "ready", Plain: serve(), Tls: serve(grpc.Creds(creds))})
		_, _ = io.Copy(io.Discard, os.Stdin)
		return
	}
	k := &client{ca: os.Args[2], conns: map[string]*grpc.ClientConn{}, calls: map[string]context.CancelFunc{}}
	say(&pb.Event{Event: "ready"})
	for in := bufio.NewScanner(os.Stdin); in.Scan(); {
		k.command(in.Bytes())
	}
}
