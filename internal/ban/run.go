package ban

import (
	"log/slog"
	"net/netip"
	"time"
)

// event is something to be logged.
type event struct {
	what happening
	ban  Ban
	why  string
}

type happening uint8

const (
	banned  happening = iota
	over              // by time
	removed           // by hand
	lifted            // by settings
	spared
	guarded
	noRoom
)

// maxEvents is how many events wait to be logged at most.
const maxEvents = 1024

// say notes an event. mu is held; logging may wait, so it is a chore.
func (e *Engine) say(v event) {
	if len(e.events) == maxEvents {
		e.unsaid++
		return
	}
	e.events = append(e.events, v)
}

const (
	// longestRest is how long chores rest when somebody is banned: the day's clock may be set.
	longestRest = 5 * time.Second
	// setBack is how far the day's clock has to go back to be looked at: it is adjusted by little all the time.
	setBack = 5 * time.Second
	// idleRest is how long they rest when nobody is.
	idleRest = time.Minute
)

// runChores does what is not to be done by exchanges, until Close.
func (e *Engine) runChores() {
	defer close(e.done)
	timer := time.NewTimer(0)
	defer timer.Stop()
	var swept, weeded int64
	for {
		select {
		case <-e.stop:
			e.chores()
			return
		case <-e.wake:
		case <-timer.C:
		}
		rest := e.chores()
		if set, now := e.set.Load(), e.options.Clock(); set.On {
			if now-swept >= int64(set.HalfLife) {
				e.scores.sweep(set.Threshold/1000, now)
				swept = now
			}
			if seen := e.seen.Load(); seen != nil && now-weeded >= int64(set.Window) {
				seen.sweep(now)
				weeded = now
			}
		}
		timer.Reset(rest)
	}
}

// chores ends what is over, tells what changed, logs, and saves when it is time. It returns how long to rest.
func (e *Engine) chores() time.Duration {
	e.mu.Lock()
	wall := e.options.Now() // read with mu held, as all times of records are
	now := wall.UnixMilli()
	set := e.set.Load()
	if !e.used {
		e.mu.Unlock() // nothing is known yet of how long anything is to be remembered
		return idleRest
	}
	var ended []netip.Prefix
	if e.latest == 0 || now < e.latest-setBack.Milliseconds() {
		e.dirty = e.ledger.notLater(now) || e.dirty
	}
	e.latest = now
	forgotten := e.ledger.due(now, set.Remember, func(r *record) {
		ended = append(ended, r.network)
		e.say(event{what: over, ban: r.ban(e.holdsBack(r))})
	})
	if len(ended) > 0 {
		e.counts.ended.Add(uint64(len(ended)))
		e.full = false
	}
	e.dirty = e.dirty || forgotten || len(ended) > 0
	if len(ended) > 1000 && len(ended) > e.ledger.running.Size()/16 {
		e.review() // cheaper than one by one
	} else {
		for _, n := range ended {
			e.place(n)
		}
	}
	changes := make([]Change, 0, len(e.changes))
	for _, c := range e.changes {
		changes = append(changes, c)
	}
	if len(changes) > 0 {
		e.changes = map[netip.Prefix]Change{} // one that was large once stays so
	}
	events, unsaid, told := e.events, e.unsaid, e.told
	e.events, e.unsaid = nil, 0
	rest := idleRest
	if next := e.ledger.next(set.Remember); next != 0 {
		rest = min(longestRest, max(time.Duration(next-now)*time.Millisecond, time.Millisecond))
	}
	dirty := e.dirty
	e.mu.Unlock()

	if len(changes) > 0 {
		told(changes)
	}
	for i := range events {
		events[i].log(e.log, set.Addresses)
	}
	if unsaid > 0 {
		e.log.Warn("more happened with bans than is logged", "events", unsaid)
	}
	if dirty {
		if wait := e.keep.wait(wall); wait > 0 {
			rest = min(rest, wait)
		} else if e.Save() != nil {
			rest = min(rest, retrySave)
		}
	}
	return rest
}

// log writes the line of an event. It names the network as the access log names addresses; who wants to know more asks for the list.
func (v *event) log(log *slog.Logger, addresses Addresses) {
	var args []any
	if name := addresses.name(v.ban.Network); name != "" {
		args = append(args, "network", name)
	}
	switch v.what {
	case banned:
		text := "banned"
		if v.ban.Dry {
			text = "would be banned; bans.dry_run is on"
		}
		args = append(args, "rung", v.ban.Rung.String())
		if !v.ban.Until.IsZero() {
			args = append(args, "for", v.ban.Until.Sub(v.ban.Began).String())
		}
		log.Info(text, append(args, "count", v.ban.Count, "reason", v.ban.Reason, "by", v.ban.By)...)
	case over:
		log.Info("a ban is over", append(args, "count", v.ban.Count, "reason", v.ban.Reason, "by", v.ban.By, "dry_run", v.ban.Dry)...)
	case removed:
		log.Info("a ban was removed", append(args, "reason", v.ban.Reason, "by", v.ban.By)...)
	case lifted:
		log.Info("a ban was lifted by the configuration", append(args, "reason", v.ban.Reason, "by", v.ban.By)...)
	case spared:
		log.Info("not banned: several consumers use the address well", append(args, "reason", v.ban.Reason)...)
	case guarded:
		log.Warn("not banned: the address is "+v.why, append(args, "reason", v.ban.Reason)...)
	case noRoom:
		log.Error("not banned: there is room for no more bans", args...)
	}
}

// Save writes what is to outlive a restart, now, when it is not what was saved. It waits for the disk.
func (e *Engine) Save() error {
	e.keep.mu.Lock()
	defer e.keep.mu.Unlock()
	if e.keep.dir == "" {
		return nil
	}
	start := e.options.Clock()
	e.mu.Lock()
	if !e.dirty {
		e.mu.Unlock()
		return nil
	}
	list := e.ledger.kept()
	e.dirty = false
	e.mu.Unlock()
	err := e.keep.write(list)
	if err != nil {
		e.mu.Lock()
		e.dirty = true
		e.mu.Unlock()
	}
	e.keep.wrote(e.options.Now(), time.Duration(e.options.Clock()-start), err)
	return err
}

// Close ends what the engine does by itself and saves.
func (e *Engine) Close() error {
	select {
	case <-e.stop:
	default:
		close(e.stop)
	}
	<-e.done
	return e.Save()
}
