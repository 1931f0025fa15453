/* hashdir.c: directories, and moving buckets between them. */
#include <string.h>

#include "mem/hashdir.h"
#include "mem/slab.h"

#define SMALL_LEVEL    8u        /* below it: grow when a bucket is full, all at once */
#define SMALL_STEP     2u        /* and by so many levels */
#define SAMPLE_MASK    UINT64_C(15)
#define SAMPLE_KEYS    16u
#define KEYS_PER_LINE  56u       /* tenths: 5.6 of 7 slots */
#define SPARSE_PER_LINE 14u      /* tenths: shrink below 1.4 */
#define UNITS_A_STEP   8u
#define LEVEL_MAX      40u

/* --- accounts ------------------------------------------------------------------------- */
void tsu_hash_bytes_add(tsu_root *root, size_t bytes)
{
    uint64_t spared = tsu_load_relaxed(&root->spared);

    while (spared != 0) {
        uint64_t use = spared < bytes ? spared : bytes;

        if (tsu_cas(&root->spared, &spared, spared - use)) {
            bytes -= use;
            break;
        }
    }
    tsu_count_add(&root->bytes, bytes);
}

static void bytes_sub(tsu_root *root, size_t bytes, bool growing)
{
    if (growing) tsu_count_add(&root->spared, bytes);
    else tsu_count_add(&root->bytes, (uint64_t)0 - bytes);
}

size_t tsu_hash_bytes(tsu_root *root) { return sizeof *root + tsu_load_relaxed(&root->bytes); }

/* Before a line is retired: whoever finds the era unchanged while pinned may still use what it remembers of the table. */
static void era_end(tsu_thread *self, tsu_root *root) { tsu_store_seq(&root->era, tsu_stamp(self)); }

/* --- directories ------------------------------------------------------------------------ */
static void pages_free(tsu_thread *self, void *memory, size_t bytes)
{
    (void)self;
    tsu_env_pages_unmap(memory, bytes);
}

static size_t segment_bytes(const struct hash_dir *dir)
{
    return (dir->level < HASH_SEGMENT_SHIFT ? (size_t)1 << dir->level : HASH_SEGMENT_LINES) * sizeof(struct hash_line);
}

static struct hash_dir *dir_create(tsu_thread *self, uint32_t level)
{
    size_t           count = level <= HASH_SEGMENT_SHIFT ? 1 : (size_t)1 << (level - HASH_SEGMENT_SHIFT);
    size_t           bytes = sizeof(struct hash_dir) + count * sizeof(tsu_word);
    struct hash_dir *dir;

    if (bytes > TSU_SLAB_BYTES_MAX) {
        bytes = (bytes + 4095) & ~(size_t)4095;
        dir = tsu_env_pages_map(bytes, 4096, false);
    } else {
        dir = tsu_slab_alloc(self, bytes);
        if (dir != NULL) memset(dir, 0, bytes);
    }
    if (dir == NULL) return NULL;
    dir->level = level;
    dir->segment_count = (uint32_t)count;
    dir->bytes = bytes;
    return dir;
}

static void dir_free(tsu_thread *self, struct hash_dir *dir)
{
    if (dir->bytes > TSU_SLAB_BYTES_MAX) tsu_env_pages_unmap(dir, dir->bytes);
    else tsu_slab_free(self, dir, dir->bytes);
}

static inline bool dir_is_first(const tsu_root *root, const struct hash_dir *dir)
{
    return dir == hash_root_first(root);
}

tsu_status tsu_hash_create(tsu_thread *self, uint32_t keypos, tsu_root **out)
{
    tsu_root *root = tsu_slab_alloc(self, sizeof *root);

    _Static_assert(sizeof *root % 64 == 0, "aligned by the slab (S2)");
    if (root == NULL) return TSU_NOMEM;
    memset(root, 0, sizeof *root);
    root->keypos = keypos;
    tsu_store_relaxed(&root->era, tsu_stamp(self));
    hash_root_first(root)->segment_count = 1;
    tsu_store_relaxed(&hash_root_first(root)->segment[0], (uint64_t)(uintptr_t)&root->line);
    tsu_store_release(&root->dir, (uint64_t)(uintptr_t)hash_root_first(root));
    *out = root;
    return TSU_OK;
}

/* --- moving a unit ------------------------------------------------------------------------ */
/* The bucket's line in the directory that is being filled. */
static tsu_status line_make(tsu_thread *self, tsu_root *root, struct hash_dir *dir, uint64_t index,
                            struct hash_line **out)
{
    tsu_word *at = &dir->segment[index >> HASH_SEGMENT_SHIFT];
    uint64_t  segment = tsu_load_acquire(at);

    if (segment == 0) {
        size_t            bytes = segment_bytes(dir);
        struct hash_line *fresh = tsu_slab_alloc(self, bytes);

        if (fresh == NULL) return TSU_NOMEM;
        memset(fresh, 0, bytes);
        if (tsu_cas(at, &segment, (uint64_t)(uintptr_t)fresh)) {
            segment = (uint64_t)(uintptr_t)fresh;
            tsu_hash_bytes_add(root, bytes);
        } else {
            tsu_slab_free(self, fresh, bytes);
        }
    }
    /* GONE: the next directory has itself been emptied, so this unit was done long ago */
    *out = segment == HASH_SEGMENT_GONE
               ? NULL : (struct hash_line *)(uintptr_t)segment + (index & (HASH_SEGMENT_LINES - 1));
    return TSU_OK;
}

/* Stops all change in a bucket. False: it has moved already. */
static bool bucket_freeze(tsu_thread *self, tsu_root *root, const struct hash_dir *dir, struct hash_line *line)
{
    struct hash_slots s = hash_slots_begin(line);
    uint64_t          ctl = tsu_load_acquire(&line->ctl);

    while ((ctl & CTL_STATE) != CTL_FREEZING) {
        if ((ctl & CTL_STATE) == CTL_FORWARD) return false;
        if ((ctl & CTL_STATE) == CTL_INSERTING) {
            tsu_hash_complete(self, root, dir, line, ctl);
            ctl = tsu_load_acquire(&line->ctl);
        } else if (tsu_cas(&line->ctl, &ctl, CTL_FREEZING)) {
            break;
        }
    }
    for (;;) {
        uint64_t w = tsu_load_acquire(s.slot);

        if (hash_slots_enter(&s, w)) continue;
        if (!PLANTED(8) && !(w & TSU_CELL_FROZEN) && !tsu_cas(s.slot, &w, w | TSU_CELL_FROZEN)) continue;
        if (!hash_slots_next(&s)) return true;
    }
}

/* What is being put into one fresh bucket, slot by slot, by all helpers alike. */
struct filler {
    struct hash_line *line;
    tsu_word         *slot;
    uint32_t          left;
    uint64_t          held;          /* the word before: it is put when we know whether one follows */
    bool              any;
};

static void filler_put(struct filler *f, uint64_t word)
{
    uint64_t zero = 0;

    (void)tsu_cas(f->slot, &zero, word);
    f->slot++;
    f->left--;
}

static tsu_status filler_side(tsu_thread *self, tsu_root *root, struct filler *f)
{
    uint64_t          w = tsu_load_acquire(f->slot);
    struct hash_side *side;

    if (w == 0) {
        side = tsu_slab_alloc(self, sizeof *side);
        if (side == NULL) return TSU_NOMEM;
        memset(side, 0, sizeof *side);
        if (tsu_cas(f->slot, &w, (uint64_t)(uintptr_t)side | TSU_CELL_OTHER)) {
            tsu_hash_bytes_add(root, sizeof *side);
            w = (uint64_t)(uintptr_t)side | TSU_CELL_OTHER;
        } else {
            tsu_slab_free(self, side, sizeof *side);
        }
    }
    if ((w & TSU_CELL_KIND) != TSU_CELL_OTHER) return TSU_AGAIN;      /* the unit is done: others have changed it since */
    f->slot = ((struct hash_side *)tsu_cell_version(w))->slot;
    f->left = HASH_SIDE_SLOTS;
    return TSU_OK;
}

static tsu_status filler_add(tsu_thread *self, tsu_root *root, struct filler *f, uint64_t word)
{
    tsu_status status;

    if (f->any) {
        /* another follows: the last slot of a line must become a link */
        if (f->left == 1 && (status = filler_side(self, root, f)) != TSU_OK) return status;
        filler_put(f, f->held);
    }
    f->held = word;
    f->any = true;
    return TSU_OK;
}

static uint64_t word_hash(const tsu_root *root, uint64_t word)
{
    size_t         len;
    const uint8_t *k = tsu_version_key(word, root->keypos, &len);

    return tsu_hashtab_mark(k, len);
}

/* Hands the words of a frozen bucket to the fillers. targets is 2^k, chosen by the k bits of the hash after the first
 * `level_low`. */
static tsu_status bucket_pour(tsu_thread *self, tsu_root *root, const struct hash_dir *from, uint64_t index,
                              struct hash_line *line, const struct hash_dir *to, struct filler *fillers)
{
    bool              same_window = hash_window(from->level) == hash_window(to->level), more = true;
    struct hash_slots s = hash_slots_begin(line);
    tsu_status        status;

    while (more) {
        uint64_t w = tsu_load_acquire(s.slot), hash;

        if (hash_slots_enter(&s, w)) continue;
        more = hash_slots_next(&s);
        if (!tsu_cell_holds_version(w)) continue;
        if (same_window && to->level - hash_window(to->level) <= 15) {
            hash = (from->level == 0 ? 0 : index << (64 - from->level)) | (w & TSU_CELL_AUX) >> hash_window(from->level);
        } else {
            hash = word_hash(root, w);
        }
        w = (w & (TSU_CELL_POINTER | TSU_CELL_KIND)) | hash_tag(hash, to->level);
        status = filler_add(self, root, to->level > from->level
                                ? &fillers[hash_index(hash, to->level) & ((1u << (to->level - from->level)) - 1)]
                                : fillers, w);
        if (status != TSU_OK) return status;
    }
    return TSU_OK;
}

static void sides_retire(tsu_thread *self, tsu_root *root, struct hash_line *line, bool growing)
{
    uint64_t w = tsu_load_acquire(&line->slot[HASH_HEAD_SLOTS - 1]);

    while ((w & TSU_CELL_KIND) == TSU_CELL_OTHER) {
        struct hash_side *side = (struct hash_side *)tsu_cell_version(w);

        w = tsu_load_acquire(&side->slot[HASH_SIDE_SLOTS - 1]);
        bytes_sub(root, sizeof *side, growing);
        era_end(self, root);
        tsu_retire(self, side, sizeof *side, tsu_slab_free);
    }
}

/* The whole directory has moved: the next one takes its place. */
static void dir_replace(tsu_thread *self, tsu_root *root, struct hash_dir *dir, struct hash_dir *next)
{
    uint64_t expected = (uint64_t)(uintptr_t)dir;
    bool     growing = next->level > dir->level;
    size_t   i, bytes = segment_bytes(dir);

    if (!tsu_cas(&root->dir, &expected, (uint64_t)(uintptr_t)next)) return;
    for (i = 0; i < dir->segment_count; i++) {
        uint64_t segment = tsu_load_acquire(&dir->segment[i]);

        if (segment == HASH_SEGMENT_GONE) continue;          /* nearly all of them */
        segment = tsu_exchange(&dir->segment[i], HASH_SEGMENT_GONE);

        if (segment == HASH_SEGMENT_GONE || segment == 0 || dir_is_first(root, dir)) continue;
        bytes_sub(root, bytes, growing);
        era_end(self, root);
        tsu_retire(self, (void *)(uintptr_t)segment, bytes, tsu_slab_free);
    }
    if (dir_is_first(root, dir)) return;
    bytes_sub(root, dir->bytes, growing);
    tsu_retire(self, dir, dir->bytes, dir->bytes > TSU_SLAB_BYTES_MAX ? pages_free : tsu_slab_free);
}

/* Units are moved in order by those who claim them, so the last bucket of a segment is a good moment to see whether
 * all of it has gone. */
static void segment_gone(tsu_thread *self, tsu_root *root, struct hash_dir *dir, uint64_t index, bool growing)
{
    tsu_word *at = &dir->segment[index >> HASH_SEGMENT_SHIFT];
    uint64_t  segment = tsu_load_acquire(at);
    uint32_t  i, count = (uint32_t)(segment_bytes(dir) / sizeof(struct hash_line));

    if (segment == HASH_SEGMENT_GONE || dir_is_first(root, dir)) return;
    for (i = 0; i < count; i++) {
        struct hash_line *line = (struct hash_line *)(uintptr_t)segment + i;

        if ((tsu_load_acquire(&line->ctl) & CTL_STATE) != CTL_FORWARD) return;
    }
    if (!tsu_cas(at, &segment, HASH_SEGMENT_GONE)) return;
    bytes_sub(root, segment_bytes(dir), growing);
    era_end(self, root);
    tsu_retire(self, (void *)(uintptr_t)segment, segment_bytes(dir), tsu_slab_free);
}

#define TARGETS_MAX (1u << SMALL_STEP)

static tsu_status unit_move(tsu_thread *self, tsu_root *root, struct hash_dir *from, struct hash_dir *to,
                            uint64_t unit)
{
    bool              growing = to->level > from->level;
    uint32_t          sources = growing ? 1 : 1u << (from->level - to->level);
    uint32_t          targets = growing ? 1u << (to->level - from->level) : 1, i;
    struct filler     fillers[TARGETS_MAX];
    struct hash_line *lines[TARGETS_MAX];
    tsu_status        status = TSU_OK;
    bool              last = false;

    for (i = 0; i < sources; i++) {
        uint64_t index = unit * sources + i;
        uint64_t segment = tsu_load_acquire(&from->segment[index >> HASH_SEGMENT_SHIFT]);

        if (segment == HASH_SEGMENT_GONE) return TSU_OK;
        lines[i] = (struct hash_line *)(uintptr_t)segment + (index & (HASH_SEGMENT_LINES - 1));
    }
    for (i = 0; i < targets; i++) {
        struct filler *f = &fillers[i];

        status = line_make(self, root, to, unit * targets + i, &f->line);
        if (status != TSU_OK) return status;
        if (f->line == NULL) return TSU_OK;
        f->slot = f->line->slot;
        f->left = HASH_HEAD_SLOTS;
        f->any = false;
    }
    for (i = 0; i < sources; i++)
        if (!bucket_freeze(self, root, from, lines[i]) && i + 1 == sources) return TSU_OK;
    for (i = 0; i < sources && status == TSU_OK; i++)
        status = bucket_pour(self, root, from, unit * sources + i, lines[i], to, fillers);
    if (status == TSU_AGAIN) return TSU_OK;
    if (status != TSU_OK) return status;
    for (i = 0; i < targets; i++)
        if (fillers[i].any) filler_put(&fillers[i], fillers[i].held);
    for (i = 0; i < sources; i++) {
        uint64_t ctl = CTL_FREEZING;

        last = tsu_cas(&lines[i]->ctl, &ctl, CTL_FORWARD);
        if (last) sides_retire(self, root, lines[i], growing);
    }
    if (!last) return TSU_OK;
    if (tsu_fetch_add(&from->moved, 1) + 1 == (UINT64_C(1) << (growing ? from->level : to->level)))
        dir_replace(self, root, from, to);
    else
        segment_gone(self, root, from, unit * sources, growing);
    return TSU_OK;
}

tsu_status tsu_hash_move(tsu_thread *self, tsu_root *root, struct hash_dir *dir, uint64_t hash)
{
    struct hash_dir *to = hash_dir_next(dir);

    return unit_move(self, root, dir, to, hash_index(hash, to->level > dir->level ? dir->level : to->level));
}

/* --- when to grow and shrink ------------------------------------------------------------ */
/* Hangs a directory of that level behind `dir`, unless there is one. */
static tsu_status dir_extend(tsu_thread *self, tsu_root *root, struct hash_dir *dir, uint32_t level)
{
    uint64_t         none = 0;
    struct hash_dir *next;

    if (tsu_load_acquire(&dir->next) != 0) return TSU_OK;
    next = dir_create(self, level);
    if (next == NULL) return TSU_NOMEM;
    if (tsu_cas(&dir->next, &none, (uint64_t)(uintptr_t)next)) tsu_hash_bytes_add(root, next->bytes);
    else dir_free(self, next);
    return TSU_OK;
}

/* Takes up the next `units` units; false when there are no more to take. */
static tsu_status units_move(tsu_thread *self, tsu_root *root, struct hash_dir *dir, uint64_t units)
{
    struct hash_dir *to = hash_dir_next(dir);
    uint64_t         all = UINT64_C(1) << (to->level > dir->level ? dir->level : to->level);
    tsu_status       status = TSU_OK;

    while (units-- > 0 && status == TSU_OK) {
        uint64_t unit = tsu_load_acquire(&dir->claimed);

        if (unit >= all) break;
        /* moved first and counted then: a unit that fails for want of memory is tried again, not left behind */
        status = unit_move(self, root, dir, to, unit);
        if (status == TSU_OK) (void)tsu_cas(&dir->claimed, &unit, unit + 1);
    }
    return status;
}

bool tsu_hash_want_growth(const tsu_root *root, const struct hash_dir *dir)
{
    return dir->level < SMALL_LEVEL && hash_root_dir(root) == dir;
}

tsu_status tsu_hash_grow(tsu_thread *self, tsu_root *root)
{
    struct hash_dir *dir = hash_root_dir(root);
    tsu_status       status;

    if (dir->level >= SMALL_LEVEL) return TSU_OK;
    status = dir_extend(self, root, dir, dir->level + SMALL_STEP);
    if (status != TSU_OK) return status;
    return units_move(self, root, dir, UINT64_C(1) << dir->level);
}

/* Tenths of a key per line that there are, lines of both directories taken together. */
static bool crowded(const struct hash_dir *dir, uint64_t keys, uint32_t tenths)
{
    uint64_t         lines = UINT64_C(1) << dir->level;
    struct hash_dir *to = (struct hash_dir *)(uintptr_t)tsu_load_acquire(&dir->next);

    if (to != NULL && to->level > dir->level) lines += tsu_load_relaxed(&dir->claimed);
    /* threads may be counted off before they are counted on: a little below nothing is nothing */
    return (int64_t)keys > 0 && keys * 10 > lines * tenths;
}

void tsu_hash_key_added(tsu_thread *self, tsu_root *root, uint64_t hash)
{
    struct hash_dir *dir;
    uint64_t         keys;
    uint32_t         i;

    if (TSU_LIKELY((hash & SAMPLE_MASK) != 0)) return;
    keys = (tsu_count_add(&root->sampled, 1) + 1) * SAMPLE_KEYS;
    dir = hash_root_dir(root);
    if (dir->level < SMALL_LEVEL) return;
    for (i = 0; i < UNITS_A_STEP && crowded(dir, keys, KEYS_PER_LINE); i++) {
        if (dir->level >= LEVEL_MAX) return;
        /* short of memory a table goes on with fuller buckets */
        if (dir_extend(self, root, dir, dir->level + 1) != TSU_OK) return;
        if (units_move(self, root, dir, 1) != TSU_OK) return;
        dir = hash_root_dir(root);
    }
}

void tsu_hash_key_removed(tsu_thread *self, tsu_root *root, uint64_t hash)
{
    struct hash_dir *dir;
    uint64_t         keys;

    if (TSU_LIKELY((hash & SAMPLE_MASK) != 0)) return;
    keys = (tsu_count_add(&root->sampled, (uint64_t)-1) - 1) * SAMPLE_KEYS;
    dir = hash_root_dir(root);
    if (dir->level == 0 || crowded(dir, keys, SPARSE_PER_LINE)) return;
    /* a directory that is still growing has to finish first; either way there is something to move */
    if (dir_extend(self, root, dir, dir->level - 1) != TSU_OK) return;
    (void)units_move(self, root, dir, 2 * SAMPLE_KEYS);
}

tsu_status tsu_hash_reserve(tsu_thread *self, tsu_root *root, size_t keys, size_t *budget)
{
    for (;;) {
        struct hash_dir *dir = hash_root_dir(root);
        uint64_t         lines = UINT64_C(1) << dir->level;
        tsu_status       status;

        if (lines * KEYS_PER_LINE >= (uint64_t)keys * 10 || dir->level >= LEVEL_MAX) return TSU_OK;
        if (*budget == 0) return TSU_AGAIN;
        --*budget;
        status = dir_extend(self, root, dir, dir->level + (lines * 2 * KEYS_PER_LINE >= (uint64_t)keys * 10 ? 1 : SMALL_STEP));
        if (status == TSU_OK) status = units_move(self, root, dir, 1);
        /* it can do with fuller buckets */
        if (status != TSU_OK) return TSU_OK;
    }
}

/* --- the end ------------------------------------------------------------------------------ */
/* A move that stopped for want of memory has left some of a bucket's words in the next directory as well: they count
 * where they come from. */
static void targets_forget(tsu_thread *self, struct hash_dir *from, uint64_t index)
{
    struct hash_dir *to = hash_dir_next(from);
    uint64_t         count = to->level > from->level ? UINT64_C(1) << (to->level - from->level) : 1;
    uint64_t         first = to->level > from->level ? index * count : index >> (from->level - to->level), i;

    for (i = first; i < first + count; i++) {
        uint64_t          segment = tsu_load_relaxed(&to->segment[i >> HASH_SEGMENT_SHIFT]), w;
        struct hash_line *line = (struct hash_line *)(uintptr_t)segment + (i & (HASH_SEGMENT_LINES - 1));

        if (segment == 0 || segment == HASH_SEGMENT_GONE) continue;
        w = tsu_load_relaxed(&line->slot[HASH_HEAD_SLOTS - 1]);
        while ((w & TSU_CELL_KIND) == TSU_CELL_OTHER) {
            struct hash_side *side = (struct hash_side *)tsu_cell_version(w);

            w = tsu_load_relaxed(&side->slot[HASH_SIDE_SLOTS - 1]);
            tsu_slab_free(self, side, sizeof *side);
        }
        memset(line, 0, sizeof *line);
    }
}

static size_t line_reap(tsu_thread *self, struct hash_line *line,
                        void (*release_version)(tsu_thread *self, uint64_t word))
{
    struct hash_slots s = hash_slots_begin(line);
    struct hash_side *side = NULL;
    size_t            pieces = 0;
    bool              more = true;

    if ((tsu_load_acquire(&line->ctl) & CTL_STATE) == CTL_FORWARD) return 0;
    while (more) {
        uint64_t w = tsu_load_relaxed(s.slot);

        if (hash_slots_enter(&s, w)) {
            tsu_slab_free(self, side, sizeof *side);
            side = (struct hash_side *)tsu_cell_version(w);
            continue;
        }
        more = hash_slots_next(&s);
        if (!tsu_cell_holds_version(w)) continue;
        release_version(self, w & (TSU_CELL_POINTER | TSU_CELL_KIND));
        pieces++;
    }
    tsu_slab_free(self, side, sizeof *side);
    return pieces;
}

bool tsu_hash_reap(tsu_thread *self, tsu_root *root, size_t budget,
                   void (*release_version)(tsu_thread *self, uint64_t word))
{
    struct hash_dir *dir;
    size_t           pieces = 0;

    while ((dir = hash_root_dir(root)) != NULL) {
        size_t bytes = segment_bytes(dir);

        while (root->reap_segment < dir->segment_count) {
            uint64_t segment = tsu_load_relaxed(&dir->segment[root->reap_segment]);
            size_t   i;

            if (pieces >= budget) return false;
            root->reap_segment++;
            pieces++;
            if (segment == 0 || segment == HASH_SEGMENT_GONE) continue;
            for (i = 0; i < bytes / sizeof(struct hash_line); i++) {
                struct hash_line *line = (struct hash_line *)(uintptr_t)segment + i;

                if ((tsu_load_relaxed(&line->ctl) & CTL_STATE) == CTL_FREEZING && !PLANTED(12))
                    targets_forget(self, dir, (uint64_t)(root->reap_segment - 1) * HASH_SEGMENT_LINES + i);
                pieces += line_reap(self, line, release_version);
            }
            if (!dir_is_first(root, dir)) tsu_slab_free(self, (void *)(uintptr_t)segment, bytes);
        }
        root->reap_segment = 0;
        tsu_store_relaxed(&root->dir, tsu_load_relaxed(&dir->next));
        if (!dir_is_first(root, dir)) dir_free(self, dir);
    }
    tsu_slab_free(self, root, sizeof *root);
    return true;
}

/* --- checks -------------------------------------------------------------------------------- */
static const char *line_verify(const tsu_root *root, const struct hash_dir *dir, struct hash_line *line,
                               uint64_t index)
{
    struct hash_slots s = hash_slots_begin(line);
    uint64_t          seen[64];
    uint32_t          count = 0, i;
    bool              more = true;

    if ((tsu_load_acquire(&line->ctl) & CTL_STATE) == CTL_FORWARD) return NULL;
    if ((tsu_load_acquire(&line->ctl) & CTL_STATE) != CTL_IDLE) return "H2: an insertion or a move is left half way";
    while (more) {
        uint64_t w = tsu_load_acquire(s.slot), hash;

        if (hash_slots_enter(&s, w)) continue;
        more = hash_slots_next(&s);
        if (w & TSU_CELL_FROZEN) return "H3: a frozen slot in a bucket that was not moved";
        if (!tsu_cell_holds_version(w)) continue;
        hash = word_hash(root, w);
        if (hash_index(hash, dir->level) != index) return "H4: a key in the wrong bucket";
        if ((w & TSU_CELL_AUX) != hash_tag(hash, dir->level)) return "H4: a wrong tag";
        for (i = 0; i < count; i++) {
            size_t         a_len, b_len;
            const uint8_t *a = tsu_version_key(seen[i], root->keypos, &a_len);
            const uint8_t *b = tsu_version_key(w, root->keypos, &b_len);

            if (a_len == b_len && memcmp(a, b, a_len) == 0) return "H1: a key in two slots";
        }
        if (count < 64) seen[count++] = w;
    }
    return NULL;
}

const char *tsu_hash_verify(tsu_thread *self, tsu_root *root)
{
    struct hash_dir *dir = hash_root_dir(root);

    (void)self;
    for (; dir != NULL; dir = (struct hash_dir *)(uintptr_t)tsu_load_acquire(&dir->next)) {
        uint64_t i, count = UINT64_C(1) << dir->level;

        for (i = 0; i < count; i++) {
            uint64_t          segment = tsu_load_acquire(&dir->segment[i >> HASH_SEGMENT_SHIFT]);
            struct hash_line *line = (struct hash_line *)(uintptr_t)segment + (i & (HASH_SEGMENT_LINES - 1));
            const char       *broken;

            if (segment == 0 || segment == HASH_SEGMENT_GONE) continue;
            broken = line_verify(root, dir, line, i);
            if (broken != NULL) return broken;
        }
    }
    return NULL;
}
