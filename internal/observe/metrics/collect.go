package metrics

import (
	"strings"

	"github.com/prometheus/client_golang/prometheus"

	"straum.dev/straum/internal/edge/exchange"
	"straum.dev/straum/internal/edge/fault"
)

// The metrics, in the order of docs/metrics.md.
var (
	requests      = describe("requests_total", "Exchanges that are over, by route and status code sent. Codes that are not registered are counted by class; none means that no response was sent.", "route", "code")
	grpcResponses = describe("grpc_responses_total", "Answers of gRPC that are over, by route and status of gRPC. Numbers that no status has are counted as unknown.", "route", "status")
	duration      = describe("request_duration_seconds", "Time from the first byte of a request to the last of its response. Tunnels are left out.", "route")
	ownDuration   = describe("own_duration_seconds", "The part of the duration of an exchange that was not its upstream's: the gateway's own work and waiting for the client. Tunnels are left out.")
	received      = describe("client_received_bytes_total", "Bytes received from clients, heads included.", "route")
	sent          = describe("client_sent_bytes_total", "Bytes sent to clients, heads included.", "route")
	faults        = describe("faults_total", "Exchanges that ended in a fault, by kind and whose fault it was.", "kind", "side")
	ends          = describe("unfinished_total", "Exchanges that did not end with a complete response, by how they ended.", "end")
	verdicts      = describe("policy_verdicts_total", "What policies decided, by policy and the word in the log.", "policy", "verdict")
	byConsumer    = describe("consumer_requests_total", "Exchanges of consumers that are over, by class of the answer; none means that no response was sent.", "consumer", "class")
	figuresLost   = describe("metrics_figures_dropped", "Figures of policies that this page leaves out, since there are too many or they do not go together.")
	upRequests    = describe("upstream_requests_total", "Exchanges that were sent or attempted to an upstream, by class of the answer; none means that there was none.", "upstream", "class")
	upDuration    = describe("upstream_duration_seconds", "The part of the duration of an exchange that was its upstream's.", "upstream")
	upRetries     = describe("upstream_retries_total", "Further tries after a first one.", "upstream")
	upReused      = describe("upstream_connections_reused_total", "Exchanges whose last try went over a connection that had carried others.", "upstream")
	upOpened      = describe("upstream_connections_opened_total", "Exchanges whose last try opened a connection, by why.", "upstream", "reason")
	namesFolded   = describe("metrics_names_folded_total", "Times a name asked for counters of its own and got those of other, since there are only so many.", "of")
	listenOpen    = describe("listener_connections", "Connections that are open now.", "listener")
	listenParked  = describe("listener_parked_connections", "Open connections that are idle and hold no buffer.", "listener")
	listenAccept  = describe("listener_accepted_total", "Connections accepted.", "listener")
	listenRefused = describe("listener_refused_total", "Connections refused, by why.", "listener", "reason")
	listenRequest = describe("listener_requests_total", "Exchanges that are over, by the HTTP and the TLS the client spoke.", "listener", "protocol", "tls")
	handshakes    = describe("tls_handshakes_total", "TLS handshakes that are over, by how they ended.", "listener", "outcome")
	handshaking   = describe("tls_handshakes_under_way", "TLS handshakes under way.", "listener")
	handshakeMost = describe("tls_handshakes_under_way_limit", "How many TLS handshakes may be under way; the oldest is cut for one more.", "listener")
	h2Streams     = describe("http2_streams_total", "Streams opened by clients, also those that were refused.", "listener")
	h2Refused     = describe("http2_streams_refused_total", "Streams refused because too many were open, or because the connection was ending.", "listener")
	h2Malformed   = describe("http2_streams_malformed_total", "Streams ended because their request was malformed.", "listener")
	h2ResetsIn    = describe("http2_resets_received_total", "Streams reset by clients before their response was complete.", "listener")
	h2ResetsOut   = describe("http2_resets_sent_total", "Streams reset by the gateway.", "listener")
	h2GoAways     = describe("http2_goaways_total", "Connections the gateway ended, by the code the client was told.", "listener", "code")
	h2Guards      = describe("http2_guards_total", "Connections a guard ended because they cost more than they were worth, by guard.", "listener", "guard")
	certExpiry    = describe("tls_certificate_expiry_timestamp_seconds", "When the certificate ends.", "certificate", "key")
	certProblem   = describe("tls_certificate_problem", "1 while a changed certificate on disk is refused and the one from before is shown on.", "certificate", "key")
	certSwaps     = describe("tls_certificate_swaps_total", "Times a changed certificate was taken from disk.", "certificate", "key")
	certRefusals  = describe("tls_certificate_refusals_total", "Times a changed certificate on disk was refused.", "certificate", "key")
	certStapled   = describe("tls_certificate_stapled", "1 while an answer of the certificate's OCSP responder is stapled.", "certificate", "key")
	certAlarm     = describe("tls_certificate_alarm", "1 while the certificate is revoked, or demands stapling and has nothing to staple.", "certificate", "key")
	ticketsTurned = describe("tls_ticket_keys_rotated_timestamp_seconds", "When the keys of session tickets were last changed.")
	ticketsBad    = describe("tls_ticket_keys_problem", "1 while the keys of session tickets cannot be kept, so that they end with the process.")
	acmeNames     = describe("acme_names", "Names certificates are held for, by how things stand with them.", "state")
	acmeOrders    = describe("acme_orders_total", "Orders of certificates that are over, by what became of them.", "outcome")
	acmeRevoked   = describe("acme_revoked_total", "Certificates found revoked, and replaced.")
	acmeAnswers   = describe("acme_challenges_answered_total", "Questions of the authority that were answered, by kind.", "challenge")
	upQueue       = describe("upstream_queue_length", "Exchanges that wait for a place or a connection.", "upstream")
	upBreaker     = describe("upstream_breaker_state", "1 for the state the breaker is in, 0 for the others.", "upstream", "state")
	epHealthy     = describe("endpoint_healthy", "1 when the endpoint passes its probes or has none.", "upstream", "endpoint")
	epEjected     = describe("endpoint_ejected", "1 while the endpoint is taken out because of its answers.", "upstream", "endpoint")
	epActive      = describe("endpoint_active_requests", "Exchanges under way.", "upstream", "endpoint")
	epIdle        = describe("endpoint_idle_connections", "Connections kept open for the next exchange.", "upstream", "endpoint")
	epStreams     = describe("endpoint_streams", "Exchanges under way on connections that carry several (HTTP/2).", "upstream", "endpoint")
	confRevision  = describe("config_revision", "Number of the revision that serves.")
	confLoaded    = describe("config_loaded_timestamp_seconds", "When the revision that serves began to.")
	confOK        = describe("config_last_reload_successful", "1 when the last attempt to load a configuration was accepted.")
	confFailures  = describe("config_reload_failures_total", "Attempts to load a configuration that were not accepted.")
	logWritten    = describe("log_written_total", "Lines of the access log written.")
	logBytes      = describe("log_written_bytes_total", "Bytes of the access log written.")
	logWaiting    = describe("log_waiting_lines", "Lines of the access log in memory.")
	logLost       = describe("log_lost_total", "Lines of the access log lost, by why.", "reason")
	logLostMatter = describe("log_lost_important_total", "Lost lines that told of a fault or a refusal.")
	logFailures   = describe("log_write_failures_total", "Writes of the access log that failed.")
	logFailing    = describe("log_failing", "1 while the access log cannot be written.")
	build         = describe("build_info", "1, with what is running.", "version", "commit", "goversion")
)

// all lists the metrics for Describe.
var all = []*prometheus.Desc{
	requests, grpcResponses, duration, ownDuration, received, sent, faults, ends, verdicts, byConsumer, figuresLost, upRequests, upDuration, upRetries, upReused, upOpened, namesFolded,
	listenOpen, listenParked, listenAccept, listenRefused, listenRequest, handshakes, handshaking, handshakeMost,
	h2Streams, h2Refused, h2Malformed, h2ResetsIn, h2ResetsOut, h2GoAways, h2Guards,
	certExpiry, certProblem, certSwaps, certRefusals, certStapled, certAlarm, ticketsTurned, ticketsBad, acmeNames, acmeOrders, acmeRevoked, acmeAnswers,
	cacheRequests, cacheCollapsed, cacheServed, cacheAge, cacheNotStored, cacheUnderWay, cacheRenewals, cacheFailed, cacheSkipped, cacheInvalid, cachePurges,
	storeUp, storeObjects, storeBytes, storeRoom, storeLookups, storeStored, storeEvicted, storeDropped, storeFailed, storeTook,
	upQueue, upBreaker, epHealthy, epEjected, epActive, epIdle, epStreams,
	confRevision, confLoaded, confOK, confFailures, logWritten, logBytes, logWaiting, logLost, logLostMatter, logFailures, logFailing, build,
}

func describe(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc("straum_"+name, help, labels, nil)
}

// collector turns counters into metrics.
type collector struct{ m *Metrics }

func (c collector) Describe(to chan<- *prometheus.Desc) {
	for _, d := range all {
		to <- d
	}
	for _, d := range boxMetrics {
		to <- d
	}
}

func (c collector) Collect(to chan<- prometheus.Metric) {
	out := output(to)
	c.m.collectRoutes(out)
	c.m.collectCallers(out)
	c.m.collectUpstreams(out)
	c.m.collectRest(out)
	c.m.sources.Load().collect(out)
}

func (m *Metrics) collectRoutes(out output) {
	var owns [ownBuckets]uint64
	var ownTime uint64
	for slot, name := range m.Routes.list() {
		r := m.route(slot)
		for i, n := range r.codes {
			out.some(requests, n, name, codeNames[i])
		}
		for i, n := range r.grpc {
			out.some(grpcResponses, n, name, grpcNames[i])
		}
		out.histogram(duration, r.spans[:], r.spanTime, spanUnit, 15, 4, name)
		out.some(received, r.in, name)
		out.some(sent, r.out, name)
		r.cache.collect(out, name)
		for i, n := range r.owns {
			owns[i] += n
		}
		ownTime += r.ownTime
	}
	out.histogram(ownDuration, owns[:], ownTime, ownUnit, 3, 2)
}

func (m *Metrics) collectUpstreams(out output) {
	reasons := *m.reasons.list.Load()
	for slot, name := range m.Upstreams.list() {
		u := m.upstream(slot)
		for i, n := range u.classes {
			out.some(upRequests, n, name, classNames[i])
		}
		out.histogram(upDuration, u.spans[:], u.spanTime, spanUnit, 15, 4, name)
		if slot == 0 && u == (upstreamCell{}) {
			continue
		}
		out.count(upRetries, u.retries, name)
		out.count(upReused, u.reused, name)
		for i, reason := range reasons {
			out.some(upOpened, u.opened[i], name, reason)
		}
	}
}

func (m *Metrics) collectRest(out output) {
	faulty, ended, spoken := m.rest()
	kinds := append([]*fault.Kind{{Word: Other}}, fault.Kinds()...)
	for i, k := range kinds[:min(len(kinds), maxKinds)] {
		out.some(faults, faulty[i], k.Word, k.Side.String())
	}
	for end := exchange.Completed + 1; int(end) < maxEnds; end++ {
		out.count(ends, ended[end], end.String())
	}
	for i, listener := range *m.listeners.list.Load() {
		for j, n := range spoken[i] {
			out.some(listenRequest, n, listener, protocols[j/versions], tlsVersions[j%versions])
		}
	}
	out.count(namesFolded, m.Routes.folded.Load(), "route")
	out.count(namesFolded, m.Upstreams.folded.Load(), "upstream")
	out.gauge(build, 1, m.build.Version, m.build.Commit, m.build.Go)
}

func (s *Sources) collect(out output) {
	if s.Listeners != nil {
		for _, l := range s.Listeners() {
			l.collect(out)
		}
	}
	if s.Upstreams != nil {
		for _, u := range s.Upstreams() {
			u.collect(out)
		}
	}
	if s.TLS != nil {
		s.TLS().collect(out)
	}
	if s.Cache != nil {
		if c := s.Cache(); c != nil {
			c.collect(out)
		}
	}
	if s.Box != nil {
		if b := s.Box(); b != nil {
			b.collect(out)
		}
	}
	if s.Config != nil {
		c := s.Config()
		out.gauge(confRevision, float64(c.Revision))
		if !c.Loaded.IsZero() {
			out.gauge(confLoaded, float64(c.Loaded.UnixMilli())/1000)
		}
		out.gauge(confOK, truth(c.LastOK))
		out.count(confFailures, c.Failures)
	}
	if s.Log != nil {
		s.Log().collect(out)
	}
}

func (l *Listener) collect(out output) {
	out.gauge(listenOpen, float64(l.Open), l.Name)
	out.gauge(listenParked, float64(l.Parked), l.Name)
	out.count(listenAccept, l.Accepted, l.Name)
	for _, r := range l.Refused {
		out.count(listenRefused, r.N, l.Name, r.Reason)
	}
	if l.Handshakes != nil {
		out.gauge(handshaking, float64(l.HandshakesNow), l.Name)
		out.gauge(handshakeMost, float64(l.HandshakeCeiling), l.Name)
	}
	for _, h := range l.Handshakes {
		out.count(handshakes, h.N, l.Name, h.Reason)
	}
	if h := l.HTTP2; h != nil {
		h.collect(out, l.Name)
	}
}

func (h *HTTP2) collect(out output, listener string) {
	out.count(h2Streams, h.Streams, listener)
	out.count(h2Refused, h.Refused, listener)
	out.count(h2Malformed, h.Malformed, listener)
	out.count(h2ResetsIn, h.ResetsReceived, listener)
	out.count(h2ResetsOut, h.ResetsSent, listener)
	for _, g := range h.GoAways {
		out.some(h2GoAways, g.N, listener, g.Reason)
	}
	for _, g := range h.Guards {
		out.count(h2Guards, g.N, listener, g.Reason)
	}
}

func (u *Upstream) collect(out output) {
	out.gauge(upQueue, float64(u.Queue), u.Name)
	if u.Breaker != "" {
		for _, state := range breakerStates {
			out.gauge(upBreaker, truth(state == u.Breaker), u.Name, state)
		}
	}
	for i := range u.Endpoints {
		e := &u.Endpoints[i]
		out.gauge(epHealthy, truth(e.Healthy), u.Name, e.Address)
		out.gauge(epEjected, truth(e.Ejected), u.Name, e.Address)
		out.gauge(epActive, float64(e.Active), u.Name, e.Address)
		out.gauge(epIdle, float64(e.Idle), u.Name, e.Address)
		out.gauge(epStreams, float64(e.Streams), u.Name, e.Address)
	}
}

func (l Log) collect(out output) {
	out.count(logWritten, l.Written)
	out.count(logBytes, l.Bytes)
	out.gauge(logWaiting, float64(l.Waiting))
	for _, r := range l.Lost {
		out.count(logLost, r.N, r.Reason)
	}
	out.count(logLostMatter, l.LostMatter)
	out.count(logFailures, l.Failures)
	out.gauge(logFailing, truth(l.Failing))
}

// output is where a scrape's metrics go. What cannot be a metric becomes an error of the scrape that leaves the others alone.
type output chan<- prometheus.Metric

func (o output) count(d *prometheus.Desc, n uint64, labels ...string) {
	o.send(d, prometheus.CounterValue, float64(n), labels)
}

// some is count for series that come into being with their first event.
func (o output) some(d *prometheus.Desc, n uint64, labels ...string) {
	if n > 0 {
		o.count(d, n, labels...)
	}
}

func (o output) gauge(d *prometheus.Desc, v float64, labels ...string) {
	o.send(d, prometheus.GaugeValue, v, labels)
}

func (o output) send(d *prometheus.Desc, kind prometheus.ValueType, v float64, labels []string) {
	for i := range labels {
		labels[i] = strings.ToValidUTF8(labels[i], "\ufffd")
	}
	metric, err := prometheus.NewConstMetric(d, kind, v, labels...)
	if err != nil {
		metric = prometheus.NewInvalidMetric(d, err)
	}
	o <- metric
}

// histogram shows counts as in coarse; one that has counted nothing is left out, unless it is the only one of its name.
func (o output) histogram(d *prometheus.Desc, counts []uint64, sum, unit uint64, first, step int, labels ...string) {
	cumulative, total := coarse(counts, unit, first, step)
	if total == 0 && len(labels) > 0 {
		return
	}
	metric, err := prometheus.NewConstHistogram(d, total, float64(sum)/1e9, cumulative, labels...)
	if err != nil {
		metric = prometheus.NewInvalidMetric(d, err)
	}
	o <- metric
}

func truth(b bool) float64 {
	if b {
		return 1
	}
	return 0
}
