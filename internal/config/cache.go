package config

import "straum.dev/straum/internal/document"

// Cache is where answers are kept that the policy cache lets be kept.
type Cache struct {
	Memory    document.Size `yaml:"memory" default:"64MiB" range:"0|1MiB..1TiB" doc:"How much memory stored answers may take, with all that is kept of them. 0 keeps none in memory."`
	MaxObject document.Size `yaml:"max_object" default:"1MiB" range:"1KiB..64MiB" doc:"The longest content that is kept in memory. What is longer goes to disk, where there is one, and is not stored otherwise."`
	Disk      *CacheDisk    `yaml:"disk" doc:"Keep answers on disk too, so that they outlive a restart and long ones have room. Off when left out; {} for the defaults."`
	Redis     *CacheRedis   `yaml:"redis" doc:"Keep answers in the store that gateways share too, so that what one has asked for is there for all. It needs redis. Off when left out; {} for the defaults."`

	Node document.Node `yaml:",self"`
}

// CacheDisk is the cache's part of the disk.
type CacheDisk struct {
	Path      string        `yaml:"path" length:"1..4096" doc:"A directory of the cache alone, made when it is not there. Relative to this file. The directory cache in state when left out."`
	Size      document.Size `yaml:"size" default:"10GiB" range:"16MiB..64TiB" doc:"How much of the disk it may take."`
	MaxObject document.Size `yaml:"max_object" default:"256MiB" range:"1KiB..16GiB" doc:"The longest content that is kept on disk."`

	Node document.Node `yaml:",self"`
}

// CacheRedis is the cache's part of the shared store.
type CacheRedis struct {
	MaxObject document.Size `yaml:"max_object" default:"256KiB" range:"1KiB..8MiB" doc:"The longest content that is kept in the shared store, before it is compressed."`

	Node document.Node `yaml:",self"`
}

// Off says that nothing can be kept anywhere.
func (c *Cache) Off() bool { return c.Memory == 0 && c.Disk == nil && c.Redis == nil }

// cache judges what no single key of it can.
func (k *checker) cache() {
	c := &k.config.Cache
	if c.Memory > 0 {
		k.room(c.Node, "memory", c.Memory, "max_object", c.MaxObject, 8, "an eighth")
	}
	if d := c.Disk; d != nil {
		k.room(d.Node, "size", d.Size, "max_object", d.MaxObject, 4, "a quarter")
	}
	if r := c.Redis; r != nil && k.config.Redis == nil {
		k.blame(c.Node.Key("redis"), "there is no store that gateways share; add redis: with its address to the configuration, or remove this key")
	}
}

// room blames a longest object that is too large a part of the room there is for all: it would drive out too many others.
func (k *checker) room(at document.Node, allKey string, all document.Size, oneKey string, one document.Size, parts int, part string) {
	if one <= all/document.Size(parts) {
		return
	}
	blamed := oneKey
	if !at.Has(oneKey) {
		blamed = allKey
	}
	k.blame(at.At(blamed), "%s is %s and %s is %s; one answer may have at most %s of the room: lower %s or raise %s", oneKey, one, allKey, all, part, oneKey, allKey)
}
