package compile

import (
	"straum.dev/straum/internal/config"
	"straum.dev/straum/internal/redis"
)

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
