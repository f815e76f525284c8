package metrics

import (
	"slices"
	"strings"

	"github.com/prometheus/client_golang/prometheus"
)

// MaxFigures is how many series figures may have on one page: as many places as have figures of their own (policy.MaxPlaces), with all policies
// that count by them.
const MaxFigures = 10_000

// Figure is one number that a policy keeps, shown as straum_policy_<Name>. Those that have name and labels in common are added up.
type Figure struct {
	Name    string // snake case with its unit, _total at the end of counters
	Help    string // the same for all of the name
	Counter bool
	Labels  [][2]string // names and values; the same names in the same order for all of the name
	Value   float64
}

// figured is what policies show. It describes nothing beforehand: which figures there are depends on the configuration.
type figured struct{ m *Metrics }

func (figured) Describe(chan<- *prometheus.Desc) {}

func (f figured) Collect(to chan<- prometheus.Metric) {
	var all sums
	if source := f.m.sources.Load().Figures; source != nil {
		source(all.add)
	}
	out := output(to)
	for _, s := range all.list {
		out.send(s.family.desc, s.family.kind, s.value, s.values)
	}
	out.gauge(figuresLost, float64(all.dropped))
}

// family is all figures of one name.
type family struct {
	desc   *prometheus.Desc
	kind   prometheus.ValueType
	labels string // their names
}

// series is one line of the page.
type series struct {
	family *family
	values []string // of the labels
	value  float64
}

// sums adds figures up and keeps them in the order they first came in.
type sums struct {
	families map[string]*family
	byKey    map[string]*series
	list     []*series
	dropped  int
}

// add takes a figure in. One that cannot stand on the page is dropped, so that it does not cost the others: a name or a label that
// Prometheus does not allow, or another kind or other labels than the first of its name.
func (s *sums) add(f Figure) {
	of := s.family(&f)
	if of == nil {
		s.dropped++
		return
	}
	var key strings.Builder
	key.WriteString(f.Name)
	values := make([]string, len(f.Labels))
	for i, label := range f.Labels {
		values[i] = plain(label[1])
		key.WriteByte(0xff)
		key.WriteString(values[i])
	}
	if there := s.byKey[key.String()]; there != nil {
		there.value += f.Value
		return
	}
	if len(s.list) >= MaxFigures {
		s.dropped++
		return
	}
	one := &series{of, values, f.Value}
	s.byKey[key.String()] = one
	s.list = append(s.list, one)
}

// family finds that of a figure, made now for the first; nil when the figure does not fit.
func (s *sums) family(f *Figure) *family {
	if s.families == nil {
		s.families, s.byKey = map[string]*family{}, map[string]*series{}
	}
	var labels []string
	for _, label := range f.Labels {
		labels = append(labels, label[0])
	}
	kind, joined := prometheus.GaugeValue, strings.Join(labels, ",")
	if f.Counter {
		kind = prometheus.CounterValue
	}
	if there := s.families[f.Name]; there != nil {
		if there.kind != kind || there.labels != joined {
			return nil
		}
		return there
	}
	if !snake(f.Name) || f.Name == ownFigure {
		return nil
	}
	for i, label := range labels {
		if !snake(label) || slices.Contains(labels[:i], label) {
			return nil
		}
	}
	made := &family{describe("policy_"+f.Name, f.Help, labels...), kind, joined}
	s.families[f.Name] = made
	return made
}

// ownFigure is the one metric of policies that is counted here, and not by a policy.
const ownFigure = "verdicts_total"

// snake says whether a name is one of small letters, digits and single underscores.
func snake(name string) bool {
	for i := range len(name) {
		switch c := name[i]; {
		case 'a' <= c && c <= 'z':
		case i > 0 && ('0' <= c && c <= '9' || c == '_' && name[i-1] != '_'):
		default:
			return false
		}
	}
	return name != "" && len(name) <= 100
}
