// SPDX-License-Identifier: Apache-2.0

// gRPC's interoperability cases and their server, after grpc/doc/interop-test-descriptions.md.
package main

import (
	"context"
	"fmt"
	"io"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	it "interop"
	pb "polyglot"
)

const (
	echoHead    = "x-grpc-test-echo-initial"
	echoTrailer = "x-grpc-test-echo-trailing-bin"
	whitespace  = "\t\ntest with whitespace\r\nand Unicode BMP ☺ and non-BMP 😈\t\n"
)

// ---- the server

type testService struct {
	it.UnimplementedTestServiceServer
}

func echoed(ctx context.Context, head func(metadata.MD) error, trailer func(metadata.MD)) *call {
	c := begin(ctx, func(metadata.MD) error { return nil }, func(metadata.MD) {})
	md, _ := metadata.FromIncomingContext(ctx)
	if v := md.Get(echoHead); len(v) > 0 {
		_ = head(metadata.Pairs(echoHead, v[0]))
	}
	if v := md.Get(echoTrailer); len(v) > 0 {
		trailer(metadata.Pairs(echoTrailer, v[0]))
	}
	return c
}

func asked(s *it.EchoStatus) error {
	if s.GetCode() == 0 {
		return nil
	}
	return status.Error(codes.Code(s.Code), s.Message)
}

func of(n int32) *it.Payload { return &it.Payload{Body: make([]byte, n)} }

func (*testService) EmptyCall(ctx context.Context, in *it.Empty) (*it.Empty, error) {
	c := begin(ctx, func(metadata.MD) error { return nil }, func(metadata.MD) {})
	return &it.Empty{}, c.end(nil)
}

func (*testService) UnaryCall(ctx context.Context, in *it.SimpleRequest) (*it.SimpleResponse, error) {
	c := echoed(ctx, func(md metadata.MD) error { return grpc.SetHeader(ctx, md) }, func(md metadata.MD) { _ = grpc.SetTrailer(ctx, md) })
	c.got.add(in.GetPayload().GetBody())
	if err := asked(in.ResponseStatus); err != nil {
		return nil, c.end(err)
	}
	return &it.SimpleResponse{Payload: of(in.ResponseSize)}, c.end(nil)
}

func (*testService) StreamingOutputCall(in *it.StreamingOutputCallRequest, s it.TestService_StreamingOutputCallServer) error {
	c := begin(s.Context(), s.SetHeader, s.SetTrailer)
	for _, p := range in.ResponseParameters {
		if s.Send(&it.StreamingOutputCallResponse{Payload: of(p.Size)}) != nil {
			return c.end(c.lost())
		}
	}
	return c.end(nil)
}

func (*testService) StreamingInputCall(s it.TestService_StreamingInputCallServer) error {
	c := begin(s.Context(), s.SetHeader, s.SetTrailer)
	for {
		in, err := s.Recv()
		if err == io.EOF {
			break
		}
		if err != nil {
			return c.end(c.lost())
		}
		c.got.add(in.GetPayload().GetBody())
	}
	return c.end(s.SendAndClose(&it.StreamingInputCallResponse{AggregatedPayloadSize: int32(c.got.bytes)}))
}

func (*testService) FullDuplexCall(s it.TestService_FullDuplexCallServer) error {
	c := echoed(s.Context(), s.SetHeader, s.SetTrailer)
	for {
		in, err := s.Recv()
		if err == io.EOF {
			return c.end(nil)
		}
		if err != nil {
			return c.end(c.lost())
		}
		c.got.add(in.GetPayload().GetBody())
		if err := asked(in.ResponseStatus); err != nil {
			return c.end(err)
		}
		for _, p := range in.ResponseParameters {
			if s.Send(&it.StreamingOutputCallResponse{Payload: of(p.Size)}) != nil {
				return c.end(c.lost())
			}
		}
	}
}

// ---- the cases

type testCase func(ctx context.Context, c it.TestServiceClient, conn *grpc.ClientConn) error

func same(what string, got, wanted interface{}) error {
	if fmt.Sprint(got) != fmt.Sprint(wanted) {
		return fmt.Errorf("%s: %v, expected %v", what, got, wanted)
	}
	return nil
}

func first(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

func code(err error, wanted codes.Code) error {
	return same("status of "+fmt.Sprint(err), status.Code(err), wanted)
}

func output(size int32, sizes ...int32) *it.StreamingOutputCallRequest {
	r := &it.StreamingOutputCallRequest{Payload: of(size)}
	for _, n := range sizes {
		r.ResponseParameters = append(r.ResponseParameters, &it.ResponseParameters{Size: n})
	}
	return r
}

func emptyUnary(ctx context.Context, c it.TestServiceClient, conn *grpc.ClientConn) error {
	_, err := c.EmptyCall(ctx, &it.Empty{})
	return err
}

func largeUnary(ctx context.Context, c it.TestServiceClient, conn *grpc.ClientConn) error {
	m, err := c.UnaryCall(ctx, &it.SimpleRequest{ResponseSize: 314159, Payload: of(271828)})
	return first(err, same("bytes", len(m.GetPayload().GetBody()), 314159))
}

func clientStreaming(ctx context.Context, c it.TestServiceClient, conn *grpc.ClientConn) error {
	s, err := c.StreamingInputCall(ctx)
	if err != nil {
		return err
	}
	for _, n := range []int32{27182, 8, 1828, 45904} {
		if err := s.Send(&it.StreamingInputCallRequest{Payload: of(n)}); err != nil {
			return err
		}
	}
	m, err := s.CloseAndRecv()
	return first(err, same("sum", m.GetAggregatedPayloadSize(), 74922))
}

func serverStreaming(ctx context.Context, c it.TestServiceClient, conn *grpc.ClientConn) error {
	sizes := []int32{31415, 9, 2653, 58979}
	s, err := c.StreamingOutputCall(ctx, output(0, sizes...))
	if err != nil {
		return err
	}
	for _, n := range sizes {
		m, err := s.Recv()
		if err := first(err, same("bytes", len(m.GetPayload().GetBody()), n)); err != nil {
			return err
		}
	}
	_, err = s.Recv()
	return same("end", err, io.EOF)
}

func pingPong(ctx context.Context, c it.TestServiceClient, conn *grpc.ClientConn) error {
	s, err := c.FullDuplexCall(ctx)
	if err != nil {
		return err
	}
	for i, n := range []int32{27182, 8, 1828, 45904} {
		answer := []int32{31415, 9, 2653, 58979}[i]
		if err := s.Send(output(n, answer)); err != nil {
			return err
		}
		m, err := s.Recv()
		if err := first(err, same("bytes", len(m.GetPayload().GetBody()), answer)); err != nil {
			return err
		}
	}
	_ = s.CloseSend()
	_, err = s.Recv()
	return same("end", err, io.EOF)
}

func emptyStream(ctx context.Context, c it.TestServiceClient, conn *grpc.ClientConn) error {
	s, err := c.FullDuplexCall(ctx)
	if err != nil {
		return err
	}
	_ = s.CloseSend()
	_, err = s.Recv()
	return same("end", err, io.EOF)
}

func customMetadata(ctx context.Context, c it.TestServiceClient, conn *grpc.ClientConn) error {
	const text, binary = "test_initial_metadata_value", "\xab\xab\xab"
	ctx = metadata.AppendToOutgoingContext(ctx, echoHead, text, echoTrailer, binary)
	check := func(h, t metadata.MD) error {
		return first(same("head", h.Get(echoHead), []string{text}), same("trailer", t.Get(echoTrailer), []string{binary}))
	}
	var h, t metadata.MD
	_, err := c.UnaryCall(ctx, &it.SimpleRequest{ResponseSize: 314159, Payload: of(271828)}, grpc.Header(&h), grpc.Trailer(&t))
	if err := first(err, check(h, t)); err != nil {
		return err
	}
	s, err := c.FullDuplexCall(ctx)
	if err != nil {
		return err
	}
	if err := s.Send(output(271828, 314159)); err != nil {
		return err
	}
	_ = s.CloseSend()
	for err = nil; err == nil; {
		_, err = s.Recv()
	}
	h, _ = s.Header()
	return first(same("end", err, io.EOF), check(h, s.Trailer()))
}

func statusOf(ctx context.Context, c it.TestServiceClient, text string, duplex bool) error {
	wanted := &it.EchoStatus{Code: 2, Message: text}
	_, err := c.UnaryCall(ctx, &it.SimpleRequest{ResponseStatus: wanted})
	if err := first(code(err, codes.Unknown), same("message", status.Convert(err).Message(), text)); err != nil || !duplex {
		return err
	}
	s, err := c.FullDuplexCall(ctx)
	if err != nil {
		return err
	}
	if err := s.Send(&it.StreamingOutputCallRequest{ResponseStatus: wanted}); err != nil {
		return err
	}
	_ = s.CloseSend()
	_, err = s.Recv()
	return first(code(err, codes.Unknown), same("message", status.Convert(err).Message(), text))
}

func statusCodeAndMessage(ctx context.Context, c it.TestServiceClient, conn *grpc.ClientConn) error {
	return statusOf(ctx, c, "test status message", true)
}

func specialStatusMessage(ctx context.Context, c it.TestServiceClient, conn *grpc.ClientConn) error {
	return statusOf(ctx, c, whitespace, false)
}

func unimplementedMethod(ctx context.Context, c it.TestServiceClient, conn *grpc.ClientConn) error {
	_, err := c.UnimplementedCall(ctx, &it.Empty{})
	return code(err, codes.Unimplemented)
}

func unimplementedService(ctx context.Context, c it.TestServiceClient, conn *grpc.ClientConn) error {
	_, err := it.NewUnimplementedServiceClient(conn).UnimplementedCall(ctx, &it.Empty{})
	return code(err, codes.Unimplemented)
}

func cancelAfterBegin(ctx context.Context, c it.TestServiceClient, conn *grpc.ClientConn) error {
	ctx, cancel := context.WithCancel(ctx)
	s, err := c.StreamingInputCall(ctx)
	if err != nil {
		return err
	}
	cancel()
	_, err = s.CloseAndRecv()
	return code(err, codes.Canceled)
}

func cancelAfterFirstResponse(ctx context.Context, c it.TestServiceClient, conn *grpc.ClientConn) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	s, err := c.FullDuplexCall(ctx)
	if err != nil {
		return err
	}
	if err := s.Send(output(27182, 31415)); err != nil {
		return err
	}
	if _, err := s.Recv(); err != nil {
		return err
	}
	cancel()
	_, err = s.Recv()
	return code(err, codes.Canceled)
}

func timeoutOnSleepingServer(ctx context.Context, c it.TestServiceClient, conn *grpc.ClientConn) error {
	ctx, cancel := context.WithTimeout(ctx, time.Millisecond)
	defer cancel()
	s, err := c.FullDuplexCall(ctx)
	if err == nil {
		_ = s.Send(output(27182))
		_, err = s.Recv()
	}
	return code(err, codes.DeadlineExceeded)
}

var cases = map[string]testCase{
	"empty_unary": emptyUnary, "large_unary": largeUnary, "client_streaming": clientStreaming, "server_streaming": serverStreaming,
	"ping_pong": pingPong, "empty_stream": emptyStream, "custom_metadata": customMetadata, "status_code_and_message": statusCodeAndMessage,
	"special_status_message": specialStatusMessage, "unimplemented_method": unimplementedMethod,
	"unimplemented_service": unimplementedService, "cancel_after_begin": cancelAfterBegin,
	"cancel_after_first_response": cancelAfterFirstResponse, "timeout_on_sleeping_server": timeoutOnSleepingServer,
}

func runCase(c *pb.Command, ctx context.Context, conn *grpc.ClientConn) error {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	return cases[c.Interop](ctx, it.NewTestServiceClient(conn), conn)
}
