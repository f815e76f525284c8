package compile

import (
	"straum.dev/straum/internal/config"
	"straum.dev/straum/internal/edge/cache"
)

// cache compiles where answers are kept. The connection to the shared store is left to whoever has it.
func (k *compiler) cache(c *config.Cache) {
	k.out.CacheAt = c.Node
	k.out.Cache = cache.Settings{Memory: int64(c.Memory), MaxObject: int64(c.MaxObject)}
	if d := c.Disk; d != nil {
		k.out.Cache.Disk = &cache.Disk{Size: int64(d.Size), MaxObject: int64(d.MaxObject)}
		if d.Path != "" {
			k.out.Cache.Disk.Path = config.Beside(d.Node, d.Path)
		}
	}
	if r := c.Redis; r != nil {
		k.out.CacheShared, k.out.Cache.RedisMaxObject = true, int64(r.MaxObject)
		k.out.needsKeys = true // what lies there has hashed names
	}
	if c.Off() {
		k.nowhere(k.config.Policies)
		for i := range k.config.Routes {
			k.nowhere(k.config.Routes[i].Policies)
		}
	}
}

// nowhere judges policies of the name cache, which need a store.
func (k *compiler) nowhere(list []config.Policy) {
	for i := range list {
		if p := &list[i]; p.Name == "cache" && !p.Options.IsOff() {
			k.blame(p.Blame(), "there is nowhere to keep answers: cache.memory is 0, and there is neither cache.disk nor cache.redis; give cache.memory a size, or add one of the others")
		}
	}
}

// cautionCache looks at the cache of a route. known says that the route finds out who calls.
func (k *compiler) cautionCache(r *config.Route, p placedPolicy, known bool) {
	if o := p.written.Options; !known && o.Has("by") && o.At("by").Any() == "consumer" {
		k.warn(caution{at: o.At("by"), text: "nothing there finds out who calls, so that nobody has a part of the cache; add a method such as api_key or jwt, or remove by", route: r.Name})
	}
}
