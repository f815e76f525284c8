package main

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"straum.dev/straum/internal/consumer"
	"straum.dev/straum/internal/control/admin"
	"straum.dev/straum/internal/control/compile"
	"straum.dev/straum/internal/edge"
	"straum.dev/straum/internal/edge/exchange"
	"straum.dev/straum/internal/edge/policy"
	"straum.dev/straum/internal/keyring"
	"straum.dev/straum/internal/observe/metrics"
	"straum.dev/straum/internal/redis"
)

// world is what policies reach beyond the exchange, and what of it outlives revisions: their State, the connection to the shared store,
// the keys. It implements revision.World.
type world struct {
	log   *slog.Logger
	state *policy.State
	dir   string // of what outlives a restart
	file  string // of the secret, when the configuration has none
	dry   bool   // for judging alone: keys are made up and nothing is written

	caches *caches // nil for judging alone
	// reachable refuses a revision whose files the sandbox keeps out of reach; nil for judging alone.
	reachable func(*compile.Compiled) error

	consumers atomic.Pointer[consumer.Directory] // of the revision in force; never nil
	redis     atomic.Pointer[redis.Client]       // likewise; nil when it has none

	mu      sync.Mutex // guards what follows
	ring    *keyring.Ring
	ringOf  string // digest of the secret that ring was made from, empty for the file
	pending *policy.World
	next    *compile.Compiled // that pending is for
}

func newWorld(log *slog.Logger, state string, caches *caches) *world {
	w := &world{log: log, state: policy.NewState(), dir: state, file: filepath.Join(state, "secret"), caches: caches}
	w.consumers.Store(consumer.Empty())
	return w
}

// Begin implements revision.World.
func (w *world) Begin(c *compile.Compiled) (*policy.World, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.state.Begin()
	if w.reachable != nil {
		if err := w.reachable(c); err != nil {
			return nil, err
		}
	}
	consumers, err := c.Consumers()
	if err != nil {
		return nil, err
	}
	consumers.Inherit(w.consumers.Load())
	next := &policy.World{State: w.state, Consumers: consumers, Log: w.log}
	if !w.dry {
		next.Dir, next.Shadow = w.dir, edge.NewShadow(w.log)
	}
	if c.Redis != nil {
		if next.Redis, err = w.store(c); err != nil {
			return nil, err
		}
	}
	if next.Keys, err = w.keys(c); err != nil {
		return nil, err
	}
	if w.caches != nil {
		if err := w.caches.prepare(c, next.Redis, next.Keys); err != nil {
			return nil, err
		}
		next.Cache = w.caches.Cache
	}
	w.pending, w.next = next, c
	return next, nil
}

// store is the connection to the shared store: the one there is as long as its settings and their files stay as they are.
func (w *world) store(c *compile.Compiled) (*redis.Client, error) {
	var err error
	of := sha256.New()
	fmt.Fprintf(of, "%+v", *c.Redis)
	for _, file := range []string{c.Redis.TLS.CA, c.Redis.TLS.Certificate, c.Redis.TLS.Key} {
		content, _ := os.ReadFile(file) // whoever uses it says what is wrong
		fmt.Fprintf(of, "%d %s", len(content), content)
	}
	held := policy.Hold(w.state, "redis", hex.EncodeToString(of.Sum(nil)), func() store {
		var client *redis.Client
		client, err = redis.Prepare(*c.Redis, w.log, time.Now)
		return store{client}
	})
	if err != nil {
		return nil, c.RedisRefused(err)
	}
	return held.Client, nil
}

// store is a connection to the shared store as policy.State holds it.
type store struct{ *redis.Client }

// Stop implements policy.Stopper.
func (s store) Stop() {
	if s.Client != nil {
		s.Client.Close()
	}
}

// keys derives from the secret of the configuration, or from one that is made and kept when something first needs it. mu is held.
func (w *world) keys(c *compile.Compiled) (*keyring.Ring, error) {
	if w.dry {
		return keyring.Random(), nil
	}
	of := ""
	if secret := c.Secret.Reveal(); secret != "" {
		of = digest(secret)
	}
	if w.ring != nil && w.ringOf == of {
		return w.ring, nil
	}
	var err error
	var ring *keyring.Ring
	if of != "" {
		ring, err = keyring.New([]byte(c.Secret.Reveal()))
	} else if c.NeedsKeys() {
		ring, err = keyring.Load(w.file)
	} else {
		return keyring.Random(), nil // nobody will ask
	}
	if err != nil {
		return nil, fmt.Errorf("the secret that keys are derived from: %w; set secret, or make state a directory that can be written to", err)
	}
	w.ring, w.ringOf = ring, of
	return ring, nil
}

// Start implements revision.World.
func (w *world) Start() {
	w.state.Start()
	if w.caches != nil {
		w.caches.start()
	}
}

// Keep implements revision.World.
func (w *world) Keep() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.consumers.Store(w.pending.Consumers)
	w.redis.Store(w.pending.Redis)
	for _, text := range w.next.Warnings(w.pending.Consumers, time.Now()) {
		w.log.Warn(text)
	}
	w.pending, w.next = nil, nil
	if w.caches != nil {
		w.caches.keep()
	}
	w.state.Keep()
}

// Drop implements revision.World.
func (w *world) Drop() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.pending, w.next = nil, nil
	if w.caches != nil {
		w.caches.drop() // before the connection that it may have is closed
	}
	w.state.Drop()
}

// storeReady is the condition that the shared store answers.
func (w *world) storeReady() (bool, string) {
	client := w.redis.Load()
	if client == nil {
		return true, ""
	}
	h := client.Health()
	return h.OK, h.Why
}

// figures are those of policies, and of the shared store.
func (w *world) figures(yield func(metrics.Figure)) {
	w.state.Figures(func(f policy.Figure) { yield(metrics.Figure(f)) })
	yield(metrics.Figure{Name: "held_body_bytes", Help: "Memory of request bodies that policies hold as a whole.", Value: float64(exchange.Holding())})
	yield(metrics.Figure{Name: "held_answer_bytes", Help: "Memory of endpoints' answers that policies hold as a whole.", Value: float64(exchange.HoldingAnswers())})
}

// Report implements policy.Reporter.
func (s store) Report(figure func(policy.Figure)) {
	if s.Client == nil {
		return
	}
	up := 0.0
	if s.Health().OK {
		up = 1
	}
	f := s.Figures()
	figure(policy.Figure{Name: "redis_up", Help: "Whether the shared store answers.", Value: up})
	figure(policy.Figure{Name: "redis_in_flight", Help: "Commands under way, those nobody waits for included.", Value: float64(f.InFlight)})
	count := func(outcome string, n uint64) {
		figure(policy.Figure{Name: "redis_commands_total", Help: "Commands to the shared store by outcome.", Counter: true,
			Labels: [][2]string{{"outcome", outcome}}, Value: float64(n)})
	}
	count("ok", f.Commands-f.Refused-f.Errors-f.Timeouts)
	count("refused", f.Refused)
	count("error", f.Errors)
	count("timeout", f.Timeouts)
	count("skipped", f.Skipped)
	count("full", f.Full)
}

// attention is what needs somebody although the gateway goes on.
func (w *world) attention() (all []admin.Reason) {
	if ok, why := w.storeReady(); !ok {
		all = append(all, admin.Reason{Check: "redis", Reason: "the shared store does not answer: " + why})
	}
	for _, text := range w.state.Attention() {
		all = append(all, admin.Reason{Check: "policy", Reason: text})
	}
	for _, text := range w.consumers.Load().Warnings() { // weak hashes
		all = append(all, admin.Reason{Check: "credentials", Reason: text})
	}
	return all
}

// close gives up all that policies hold.
func (w *world) close() { w.state.Close() }

// digest stands for a text that may hold secrets, where it is only to be told from others.
func digest(text string) string {
	sum := sha256.Sum256([]byte(text))
	return hex.EncodeToString(sum[:])
}
