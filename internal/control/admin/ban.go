package admin

import (
	"context"
	"errors"
	"net/http"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"straum.dev/straum/internal/ban"
)

// Banner holds the bans; *ban.Engine is one.
type Banner interface {
	List(within netip.Prefix, offset, most int) (page []ban.Ban, total int)
	Why(netip.Addr) ban.Explanation
	Add(ban.Order) (ban.Ban, error)
	Remove(netip.Prefix) (ban.Ban, error)
}

// BanList are a stretch of the bans.
type BanList struct {
	On     bool        `json:"on" doc:"Whether the configuration has bans. Without, none is in force."`
	DryRun bool        `json:"dry_run" doc:"Whether those that nobody ordered are kept from being in force."`
	Total  int         `json:"total" doc:"Bans that fit what was asked for."`
	Bans   []Ban       `json:"bans" nullable:"false" doc:"By network."`
	Kernel *KernelBans `json:"kernel,omitempty" doc:"How the kernel's side stands, where bans.kernel is on."`
}

// KernelBans is how the kernel's side stands.
type KernelBans struct {
	Given   int    `json:"given" doc:"Networks that the kernel drops."`
	LeftOut int    `json:"left_out" doc:"Bans so far that the kernel was not given, because it has as many as it is given. They are dropped when they connect."`
	Problem string `json:"problem,omitempty" doc:"Why the kernel drops nobody, or not all it should. They are dropped when they connect."`
}

// Ban is a network that is refused.
type Ban struct {
	Network string     `json:"network" doc:"An address, or a network with its length."`
	How     string     `json:"how" enum:"refuse,drop,kernel" doc:"refuse answers requests with 403; drop closes connections as they are accepted; kernel drops packets."`
	InForce bool       `json:"in_force" doc:"False in a dry run."`
	Began   time.Time  `json:"began"`
	Until   *time.Time `json:"until,omitempty" doc:"Until it is removed, when absent."`
	Count   int        `json:"count" doc:"Which ban of this network it is, of those that are remembered."`
	Reason  string     `json:"reason,omitempty" doc:"The signal that weighed most, or what was given as the reason."`
	By      string     `json:"by,omitempty" doc:"score for its own doing, network for what many inside it did, or who ordered it."`
}

// BanReasons is what is known of an address.
type BanReasons struct {
	Address   string        `json:"address"`
	Network   string        `json:"network" doc:"As which it is counted: itself, or the /64 of an IPv6 address."`
	On        bool          `json:"on" doc:"Whether the configuration has bans."`
	DryRun    bool          `json:"dry_run"`
	How       string        `json:"how" enum:"none,refuse,drop,kernel" doc:"How it is refused now."`
	Bans      []Ban         `json:"bans" nullable:"false" doc:"Those that cover it, the widest network first."`
	Count     int           `json:"count" doc:"Bans of its network that are remembered, the one in force included."`
	Forgotten *time.Time    `json:"forgotten,omitempty" doc:"When these are forgotten if there is no further one."`
	Score     float64       `json:"score" doc:"Points against it now."`
	Threshold float64       `json:"threshold" doc:"Points at which it is banned."`
	Signals   []SignalScore `json:"signals" nullable:"false" doc:"What the points are for, the most first."`
	Consumers int           `json:"consumers" doc:"Consumers that have used it well of late."`
	Spares    int           `json:"spares" doc:"How many of them spare it; 0 for never."`
	Never     *NeverBanned  `json:"never,omitempty" doc:"Why it is never banned; absent when it may be."`
}

// SignalScore are the points for one signal.
type SignalScore struct {
	Signal string  `json:"signal"`
	Points float64 `json:"points"`
}

// NeverBanned is why an address is never banned.
type NeverBanned struct {
	Network string `json:"network" doc:"That holds it."`
	Why     string `json:"why" doc:"What that is."`
}

// noBans is a gateway without them.
func noBans() error { return newProblem(http.StatusConflict, ban.ErrOff.Error()) }

type bansQuery struct {
	Network string `query:"network" maxLength:"64" doc:"Those alone that share addresses with a network."`
	Limit   int    `query:"limit" minimum:"1" maximum:"10000" default:"1000" doc:"Bans to show."`
	Offset  int    `query:"offset" minimum:"0" default:"0" doc:"Bans to pass over."`
}

func (a *Admin) getBans(_ context.Context, q *bansQuery) (*struct{ Body BanList }, error) {
	body := BanList{Bans: []Ban{}}
	var within netip.Prefix
	if q.Network != "" {
		var err error
		if within, err = parseNetwork(q.Network); err != nil {
			return nil, err
		}
	}
	if a.sources.Bans == nil {
		return &struct{ Body BanList }{body}, nil
	}
	state := a.sources.Bans.Why(netip.Addr{})
	body.On, body.DryRun = state.On, state.DryRun
	page, total := a.sources.Bans.List(within, q.Offset, q.Limit)
	for _, b := range page {
		body.Bans = append(body.Bans, showBan(b, state.On))
	}
	body.Total = total
	if a.sources.KernelBans != nil {
		body.Kernel = a.sources.KernelBans()
	}
	return &struct{ Body BanList }{body}, nil
}

type banOrder struct {
	Body struct {
		_       struct{} `additionalProperties:"false"`
		Network string   `json:"network" minLength:"2" maxLength:"64" doc:"An address or a network. An IPv6 address stands for its /64."`
		For     int64    `json:"for_seconds,omitempty" minimum:"0" maximum:"316224000" default:"86400" doc:"How long; 0 is until it is removed."`
		How     string   `json:"how,omitempty" enum:"refuse,drop,kernel" default:"drop"`
		Reason  string   `json:"reason,omitempty" maxLength:"256" doc:"For people. It is shown in lists and the log."`
		By      string   `json:"by,omitempty" maxLength:"64" default:"admin" doc:"Who orders it."`
	}
}

func (a *Admin) addBan(_ context.Context, in *banOrder) (*struct{ Body Ban }, error) {
	n, err := parseNetwork(in.Body.Network)
	if err != nil {
		return nil, err
	}
	if a.sources.Bans == nil {
		return nil, noBans()
	}
	rung, _ := ban.ParseRung(in.Body.How)
	b, err := a.sources.Bans.Add(ban.Order{Network: n, For: time.Duration(in.Body.For) * time.Second, Rung: rung, Reason: in.Body.Reason, By: in.Body.By})
	switch {
	case errors.Is(err, ban.ErrOff):
		return nil, noBans()
	case err != nil:
		return nil, newProblem(http.StatusUnprocessableEntity, err.Error())
	}
	return &struct{ Body Ban }{showBan(b, true)}, nil
}

type banRemoval struct {
	Body struct {
		_       struct{} `additionalProperties:"false"`
		Network string   `json:"network" minLength:"2" maxLength:"64" doc:"As the list has it. An IPv6 address stands for its /64."`
	}
}

func (a *Admin) removeBan(_ context.Context, in *banRemoval) (*struct{ Body Ban }, error) {
	n, err := parseNetwork(in.Body.Network)
	if err != nil {
		return nil, err
	}
	if a.sources.Bans == nil {
		return nil, noBans()
	}
	b, err := a.sources.Bans.Remove(n)
	if err != nil {
		return nil, newProblem(http.StatusNotFound, err.Error())
	}
	return &struct{ Body Ban }{showBan(b, a.sources.Bans.Why(netip.Addr{}).On)}, nil
}

type whyQuery struct {
	Address string `query:"address" required:"true" minLength:"2" maxLength:"64" doc:"An IP address."`
}

func (a *Admin) getBanReasons(_ context.Context, q *whyQuery) (*struct{ Body BanReasons }, error) {
	address, err := netip.ParseAddr(q.Address)
	if err != nil {
		return nil, newProblem(http.StatusUnprocessableEntity, "address: found "+strconv.Quote(q.Address)+"; allowed: an address such as 203.0.113.7 or 2001:db8::7")
	}
	if a.sources.Bans == nil {
		return nil, noBans()
	}
	w := a.sources.Bans.Why(address.Unmap().WithZone(""))
	out := BanReasons{Address: w.Address.String(), Network: networkText(w.Network), On: w.On, DryRun: w.DryRun, How: w.Rung.String(), Bans: []Ban{}, Count: w.Count,
		Score: w.Score, Threshold: w.Threshold, Signals: []SignalScore{}, Consumers: w.Consumers, Spares: w.Spares}
	for _, b := range w.Bans {
		out.Bans = append(out.Bans, showBan(b, w.On))
	}
	if !w.Forgotten.IsZero() {
		at := w.Forgotten.UTC()
		out.Forgotten = &at
	}
	for s, points := range w.Scores {
		if points > 0 {
			out.Signals = append(out.Signals, SignalScore{ban.Signal(s).String(), points})
		}
	}
	slices.SortStableFunc(out.Signals, func(a, b SignalScore) int {
		switch {
		case a.Points > b.Points:
			return -1
		case a.Points < b.Points:
			return 1
		}
		return 0
	})
	if w.Never != "" {
		out.Never = &NeverBanned{networkText(w.NeverBy), w.Never}
	}
	return &struct{ Body BanReasons }{out}, nil
}

func showBan(b ban.Ban, on bool) Ban {
	out := Ban{Network: networkText(b.Network), How: b.Rung.String(), InForce: on && !b.Dry, Began: b.Began.UTC(), Count: b.Count, Reason: b.Reason, By: b.By}
	if !b.Until.IsZero() {
		until := b.Until.UTC()
		out.Until = &until
	}
	return out
}

// networkText is a network as people write it: of one address, the address.
func networkText(n netip.Prefix) string {
	if n.IsSingleIP() {
		return n.Addr().String()
	}
	return n.String()
}

// parseNetwork reads an address, which stands for what it is counted as, or a network.
func parseNetwork(text string) (netip.Prefix, error) {
	if strings.Contains(text, "/") {
		if n, err := netip.ParsePrefix(text); err == nil {
			if n != n.Masked() {
				return n, newProblem(http.StatusUnprocessableEntity, "network: found "+strconv.Quote(text)+", which has bits behind its length; did you mean "+n.Masked().String()+"?")
			}
			return n, nil
		}
	} else if a, err := netip.ParseAddr(text); err == nil {
		if n, ok := ban.Network(a); ok {
			return n, nil
		}
	}
	return netip.Prefix{}, newProblem(http.StatusUnprocessableEntity, "network: found "+strconv.Quote(text)+"; allowed: an address or a network, such as 203.0.113.7, 203.0.113.0/24 or 2001:db8::/64")
}
