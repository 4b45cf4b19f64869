// A service with Go's official OpenTelemetry SDK: it passes each request on to the next hop, over HTTP or gRPC.
//
// Prints `http <port>` and `grpc <port>`, and serves until its stdin ends.
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"

	"go.opentelemetry.io/contrib/bridges/otelslog"
	"go.opentelemetry.io/contrib/instrumentation/google.golang.org/grpc/otelgrpc"
	"go.opentelemetry.io/contrib/instrumentation/net/http/otelhttp"
	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/baggage"
	"go.opentelemetry.io/otel/exporters/otlp/otlplog/otlploghttp"
	"go.opentelemetry.io/otel/exporters/otlp/otlpmetric/otlpmetrichttp"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/propagation"
	sdklog "go.opentelemetry.io/otel/sdk/log"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/protobuf/types/known/wrapperspb"
)

const name = "go"

type said struct {
	Name    string            `json:"name"`
	TraceID string            `json:"trace_id"`
	Baggage map[string]string `json:"baggage"`
}

var (
	logger   *slog.Logger
	duration metric.Float64Histogram
	client   = http.Client{Transport: otelhttp.NewTransport(http.DefaultTransport), Timeout: 20 * time.Second}
)

// relay says who is here with which baggage, and what the hops after say.
func relay(ctx context.Context, hops []string) ([]said, error) {
	started := time.Now()
	logger.InfoContext(ctx, "relayed by "+name)
	here := said{name, trace.SpanContextFromContext(ctx).TraceID().String(), map[string]string{}}
	members := baggage.FromContext(ctx)
	for _, member := range members.Members() {
		here.Baggage[member.Key()] = member.Value()
	}
	all := []said{here}
	if len(hops) > 0 {
		member, err := baggage.NewMember("seen."+name, "yes")
		if err != nil {
			return nil, err
		}
		if members, err = members.SetMember(member); err != nil {
			return nil, err
		}
		rest, err := call(baggage.ContextWithBaggage(ctx, members), hops[0], hops[1:])
		if err != nil {
			return nil, err
		}
		all = append(all, rest...)
	}
	duration.Record(ctx, time.Since(started).Seconds())
	return all, nil
}

func call(ctx context.Context, hop string, rest []string) ([]said, error) {
	var answer []byte
	if address, isGRPC := strings.CutPrefix(hop, "grpc://"); isGRPC {
		conn, err := grpc.NewClient("passthrough:///"+address,
			grpc.WithTransportCredentials(insecure.NewCredentials()),
			grpc.WithStatsHandler(otelgrpc.NewClientHandler()))
		if err != nil {
			return nil, err
		}
		defer conn.Close()
		ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
		defer cancel()
		var out wrapperspb.StringValue
		if err := conn.Invoke(ctx, "/interop.Relay/Pass", wrapperspb.String(strings.Join(rest, ",")), &out); err != nil {
			return nil, err
		}
		answer = []byte(out.Value)
	} else {
		target := hop + "/relay?hops=" + url.QueryEscape(strings.Join(rest, ","))
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, target, nil)
		if err != nil {
			return nil, err
		}
		response, err := client.Do(request)
		if err != nil {
			return nil, err
		}
		defer response.Body.Close()
		if response.StatusCode != http.StatusOK {
			return nil, fmt.Errorf("%s: %s", target, response.Status)
		}
		if answer, err = io.ReadAll(response.Body); err != nil {
			return nil, err
		}
	}
	var all []said
	return all, json.Unmarshal(answer, &all)
}

func split(hops string) []string {
	return strings.FieldsFunc(hops, func(r rune) bool { return r == ',' })
}

func overHTTP(w http.ResponseWriter, r *http.Request) {
	all, err := relay(r.Context(), split(r.URL.Query().Get("hops")))
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadGateway)
		return
	}
	w.Header().Set("content-type", "application/json")
	_ = json.NewEncoder(w).Encode(all)
}

func overGRPC(_ any, ctx context.Context, decode func(any) error, _ grpc.UnaryServerInterceptor) (any, error) {
	var in wrapperspb.StringValue
	if err := decode(&in); err != nil {
		return nil, err
	}
	all, err := relay(ctx, split(in.Value))
	if err != nil {
		return nil, err
	}
	answer, err := json.Marshal(all)
	return wrapperspb.String(string(answer)), err
}

func must[T any](value T, err error) T {
	if err != nil {
		log.Fatal(err)
	}
	return value
}

func main() {
	ctx := context.Background()
	traces := sdktrace.NewTracerProvider(sdktrace.WithBatcher(must(otlptracehttp.New(ctx))))
	meters := sdkmetric.NewMeterProvider(sdkmetric.WithReader(
		sdkmetric.NewPeriodicReader(must(otlpmetrichttp.New(ctx)))))
	logs := sdklog.NewLoggerProvider(sdklog.WithProcessor(
		sdklog.NewBatchProcessor(must(otlploghttp.New(ctx)))))
	otel.SetTracerProvider(traces)
	otel.SetMeterProvider(meters)
	otel.SetTextMapPropagator(propagation.NewCompositeTextMapPropagator(
		propagation.TraceContext{}, propagation.Baggage{}))
	logger = slog.New(otelslog.NewHandler("relay", otelslog.WithLoggerProvider(logs)))
	duration = must(otel.Meter("relay").Float64Histogram("relay.duration", metric.WithUnit("s")))

	web := must(net.Listen("tcp", "127.0.0.1:0"))
	go func() { _ = http.Serve(web, otelhttp.NewHandler(http.HandlerFunc(overHTTP), "relay")) }()

	rpc := must(net.Listen("tcp", "127.0.0.1:0"))
	server := grpc.NewServer(grpc.StatsHandler(otelgrpc.NewServerHandler()))
	server.RegisterService(&grpc.ServiceDesc{
		ServiceName: "interop.Relay",
		HandlerType: (*any)(nil),
		Methods:     []grpc.MethodDesc{{MethodName: "Pass", Handler: overGRPC}},
	}, nil)
	go func() { _ = server.Serve(rpc) }()

	fmt.Printf("http %d\ngrpc %d\n", web.Addr().(*net.TCPAddr).Port, rpc.Addr().(*net.TCPAddr).Port)
	_, _ = io.Copy(io.Discard, os.Stdin)
	server.Stop()
	_ = traces.Shutdown(ctx)
	_ = logs.Shutdown(ctx)
	_ = meters.Shutdown(ctx)
}
