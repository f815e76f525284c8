package disk

import "testing"

// What came from the disk, or went there, is not written again when memory has no room for it any more; what took its place is.
func TestWrittenOnce(t *testing.T) {
	o := settings(t)
	s := start(t, o)
	<-s.found
	first := made("b-1", 1)
	s.Put(key("b-1"), first)
	written(t, s)
	s.Put(key("b-1"), first)
	written(t, s)
	got := s.Get(key("b-1"))
	s.Put(key("b-1"), got)
	written(t, s)
	if f := s.Figures(); f.Stored != 1 || f.Objects != 1 || f.Dropped != 0 {
		t.Errorf("figures %+v", f)
	}
	holds(t, s, "b-1")
	s.Put(key("b-1"), made("b-1", 1))
	written(t, s)
	if f := s.Figures(); f.Stored != 2 {
		t.Errorf("figures %+v after another object", f)
	}
	s.Put(key("b-1"), got) // its file is gone
	written(t, s)
	if f := s.Figures(); f.Stored != 3 {
		t.Errorf("figures %+v after the first came back", f)
	}
	s.Delete(key("b-1"))
	s.Put(key("b-1"), got)
	written(t, s)
	if f := s.Figures(); f.Stored != 4 {
		t.Errorf("figures %+v after it was deleted", f)
	}
	holds(t, s, "b-1")
	stop(t, s)
}
