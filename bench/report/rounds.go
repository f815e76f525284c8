package report

import (
	"cmp"
	"slices"
	"time"
)

// Kind says which figures a scenario has, and which one the gateways are compared by.
type Kind int

const (
	Requests   Kind = iota // compared by processor microseconds a request
	Bulk                   // compared by processor milliseconds a GiB
	Idle                   // compared by resident bytes a connection
	Handshakes             // compared by processor microseconds a handshake, its one request included
	Cached                 // as Requests, with the share that was answered from what is stored
	Herd                   // as Requests, with how often the endpoint was asked for one answer
	Latency                // compared by the 99th percentile of what answers took
	Generators             // as Requests, of what makes load; memory is not looked at
)

// Sample is what one gateway did in one round of one scenario. Figures that the scenario's kind lacks stay zero.
type Sample struct {
	User, System  float64 // processor time: µs a request or handshake, or ms a GiB
	Rate          float64 // requests or handshakes a second, or MiB a second
	P50, P99      time.Duration
	Errors        int64
	PeakRSS       int64   // bytes
	PerConnection float64 // bytes of growth
	Growth        int64   // bytes of growth in all
	Disturbed     float64 // share of the round that others, the machine's owner included, had of the gateway's core
	Used          float64 // share of the round that the gateway itself had of its core
	Resumed       float64 // share of the handshakes
	Kept          float64 // share of the requests that reached no endpoint
	Asked         float64 // requests that reached an endpoint
}

// cost is the figure that gateways are compared by: lower is better.
func (s Sample) cost(kind Kind) float64 {
	switch kind {
	case Idle:
		return s.PerConnection
	case Latency:
		return float64(s.P99) / float64(time.Millisecond)
	}
	return s.User + s.System
}

// Scenario holds the samples of all gateways, round by round.
type Scenario struct {
	Name, Title string
	Kind        Kind
	Note        string // sentences below the table; may be empty
	order       []string
	beside      []string
	samples     map[string][]Sample
}

// Add appends the sample of a gateway's next round. Tables keep the order in which gateways were first added.
func (s *Scenario) Add(gateway string, sample Sample) {
	if s.samples == nil {
		s.samples = map[string][]Sample{}
	}
	if _, known := s.samples[gateway]; !known {
		s.order = append(s.order, gateway)
	}
	s.samples[gateway] = append(s.samples[gateway], sample)
}

// Ratio is a comparison over rounds; 1 is par and less is better for the subject.
type Ratio struct {
	Median, Min, Max float64
	Rounds           int
}

// Beside names a row that is shown and compared by itself, but is none of the others in Against.
func (s *Scenario) Beside(name string) { s.beside = append(s.beside, name) }

// Against divides the subject's cost by that of the better other gateway, round by round: rounds are near in time, so
// noise of the machine falls on both sides. ok is false when there is nothing to compare.
func (s *Scenario) Against(subject string) (ratio Ratio, ok bool) {
	others := slices.DeleteFunc(slices.Clone(s.order), func(name string) bool {
		return name == subject || slices.Contains(s.beside, name)
	})
	return s.against(subject, others)
}

func (s *Scenario) against(subject string, others []string) (ratio Ratio, ok bool) {
	var ratios []float64
	for round, own := range s.samples[subject] {
		best := 0.0
		for _, gateway := range others {
			samples := s.samples[gateway]
			if round >= len(samples) {
				continue
			}
			if cost := samples[round].cost(s.Kind); best == 0 || cost < best {
				best = cost
			}
		}
		if best > 0 {
			ratios = append(ratios, own.cost(s.Kind)/best)
		}
	}
	if len(ratios) == 0 {
		return Ratio{}, false
	}
	return Ratio{median(ratios), slices.Min(ratios), slices.Max(ratios), len(ratios)}, true
}

// summary is the median of every figure, but the sum of the errors and the most of memory and disturbance.
func (s *Scenario) summary(gateway string) Sample {
	samples := s.samples[gateway]
	var sum Sample
	for _, one := range samples {
		sum.Errors += one.Errors
		sum.PeakRSS = max(sum.PeakRSS, one.PeakRSS)
		sum.Growth = max(sum.Growth, one.Growth)
		sum.Disturbed = max(sum.Disturbed, one.Disturbed)
	}
	sum.User = medianOf(samples, func(x Sample) float64 { return x.User })
	sum.System = medianOf(samples, func(x Sample) float64 { return x.System })
	sum.Rate = medianOf(samples, func(x Sample) float64 { return x.Rate })
	sum.P50 = medianOf(samples, func(x Sample) time.Duration { return x.P50 })
	sum.P99 = medianOf(samples, func(x Sample) time.Duration { return x.P99 })
	sum.Used = medianOf(samples, func(x Sample) float64 { return x.Used })
	sum.Resumed = medianOf(samples, func(x Sample) float64 { return x.Resumed })
	sum.Kept = medianOf(samples, func(x Sample) float64 { return x.Kept })
	sum.Asked = medianOf(samples, func(x Sample) float64 { return x.Asked })
	sum.PerConnection = medianOf(samples, func(x Sample) float64 { return x.PerConnection })
	return sum
}

func (s *Scenario) medianCost(gateway string) float64 {
	return medianOf(s.samples[gateway], func(x Sample) float64 { return x.cost(s.Kind) })
}

func medianOf[T cmp.Ordered](samples []Sample, figure func(Sample) T) T {
	values := make([]T, len(samples))
	for i, sample := range samples {
		values[i] = figure(sample)
	}
	return median(values)
}

// median is the middle value, the lower of the two middle ones for an even count: always a value that was measured.
func median[T cmp.Ordered](values []T) T {
	sorted := slices.Sorted(slices.Values(values))
	return sorted[(len(sorted)-1)/2]
}
