/* one_cell.h: one cell, and commits of one entry each, for tests of what works on a cell.
 */
#ifndef TSU_TESTING_ONE_CELL_H
#define TSU_TESTING_ONE_CELL_H

#include "testing/cells.h"

#define CELL_AUX (UINT64_C(0x1234) << 48)

static tsu_thread *self;
static tsu_word    cell;

static TSU_TEST_UNUSED uint64_t header(uint64_t word) { return tsu_load_relaxed(&tsu_cell_version(word)->header); }
static TSU_TEST_UNUSED uint64_t bare(uint64_t word) { return word & (TSU_CELL_KIND | TSU_CELL_POINTER); }
static TSU_TEST_UNUSED bool has_time(uint64_t word, uint64_t ts)
{
    return header(word) == (ts << TSU_HEADER_TS_SHIFT | TSU_HEADER_TS);
}
static TSU_TEST_UNUSED uint64_t clock_now(void) { return tsu_load_seq(&tsu_clock); }

/* A commit of one entry. */
typedef struct one {
    tsu_commit commit;
    tsu_entry  entry;
    uint64_t   word;
} one;

/* What a test makes; end() frees it. */
static uint64_t made[64];
static int      made_count;

static TSU_TEST_UNUSED uint64_t record(int64_t value)
{
    CHECK(made_count < 64);
    return made[made_count++] = cells_record(self, 0, value);
}

static TSU_TEST_UNUSED uint64_t undecided(int64_t value)
{
    uint64_t w = record(value);

    tsu_store_relaxed(&tsu_cell_version(w)->header, TSU_HEADER_UNDECIDED);
    return w;
}

static TSU_TEST_UNUSED void hold(uint64_t word) { tsu_store_relaxed(&cell, word); }
static TSU_TEST_UNUSED uint64_t held(void) { return tsu_load_relaxed(&cell); }

static TSU_TEST_UNUSED void begin(void)
{
    self = threads_setup();
    tsu_pin(self);
    (void)tsu_fetch_add(&tsu_clock, 5);
    hold(tsu_stamp(self));
}

static TSU_TEST_UNUSED void end(void)
{
    for (int i = 0; i < made_count; i++) tsu_record_discard(self, (tsu_record *)tsu_cell_version(made[i]));
    made_count = 0;
    tsu_unpin(self);
}

/* An entry of a pending commit. */
static TSU_TEST_UNUSED one *entry_for(one *o, uint64_t word)
{
    memset(o, 0, sizeof *o);
    o->word = o->entry.word = word;
    o->entry.commit = &o->commit;
    tsu_store_relaxed(&tsu_cell_version(word)->header, (uint64_t)(uintptr_t)&o->entry | TSU_HEADER_ENTRY);
    return o;
}

/* ... that is in the cell, over what was there: a version, or nothing. */
static TSU_TEST_UNUSED one *entry_over(one *o, uint64_t word, uint64_t under)
{
    entry_for(o, word);
    tsu_store_relaxed(&o->entry.under, tsu_cell_holds_version(under) ? under : tsu_stamp(self));
    hold(word | CELL_AUX);
    return o;
}

static TSU_TEST_UNUSED void decide(one *o, uint64_t state) { tsu_store_seq(&o->commit.state, state); }
static TSU_TEST_UNUSED uint64_t under(one *o) { return tsu_load_relaxed(&o->entry.under); }
static TSU_TEST_UNUSED uint64_t state(one *o) { return tsu_load_relaxed(&o->commit.state); }

static TSU_TEST_UNUSED tsu_cell_outcome edit(cells_writer *w, uint64_t gone)
{
    return tsu_cell_edit(self, &cell, 0, CELL_AUX, gone, &w->edit);
}

static TSU_TEST_UNUSED tsu_install_outcome install(one *o, tsu_commit **other)
{
    return tsu_cell_install(self, tsu_cell_holds_version(held()) ? &cell : NULL, 0, CELL_AUX, 0, &o->entry, under(o), other);
}

#endif
