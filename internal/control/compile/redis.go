package compile

import (
	"strings"

	"straum.dev/straum/internal/config"
	"straum.dev/straum/internal/document"
	"straum.dev/straum/internal/redis"
)

// RedisRefused says where in the configuration the mistake is for which the shared store cannot be prepared. The error is *document.Problems.
func (c *Compiled) RedisRefused(err error) error {
	at, text, longest := c.RedisAt, err.Error(), 0
	for _, f := range []struct{ key, path string }{{"ca", c.Redis.TLS.CA}, {"cert", c.Redis.TLS.Certificate}, {"key", c.Redis.TLS.Key}} {
		if len(f.path) > longest && strings.Contains(text, f.path) { // one path may begin like another
			at, longest = c.RedisAt.At("tls", f.key), len(f.path)
		}
	}
	if longest == 0 && strings.HasPrefix(text, "tls: ") {
		at = c.RedisAt.At("tls", "cert")
	}
	var problems document.Problems
	problems.Add(at.Errorf("%s", err))
	return problems.Err()
}

// redis is how the shared store is reached, nil for none.
func (k *compiler) redis() *redis.Settings {
	r := k.config.Redis
	if r == nil {
		return nil
	}
	out := &redis.Settings{
		Mode:             redis.Mode(r.Mode),
		Master:           r.Master,
		Username:         r.Username,
		Password:         r.Password.Reveal(),
		SentinelUsername: r.SentinelUsername,
		SentinelPassword: r.SentinelPassword.Reveal(),
		DB:               r.DB,
		Prefix:           r.Prefix,
		Budget:           r.Budget.Std(),
	}
	for _, a := range r.Addresses {
		out.Addresses = append(out.Addresses, a.String())
	}
	if t := r.TLS; t != nil {
		out.TLS = redis.TLS{
			Enabled:     true,
			CA:          config.Beside(t.Node, t.CA),
			Certificate: config.Beside(t.Node, t.Cert),
			Key:         config.Beside(t.Node, t.Key),
			ServerName:  t.ServerName,
		}
	}
	return out
}
