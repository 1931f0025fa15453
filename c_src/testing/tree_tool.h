/* tree_tool.h: objects {Key, Value} for the tests of the tree: a key is a small number in one of several
 * clothes whose order is the order of the numbers.
 */
#ifndef TSU_TESTING_TREE_TOOL_H
#define TSU_TESTING_TREE_TOOL_H

#include <stdio.h>
#include <string.h>

#include "mem/bag.h"
#include "mem/bptree.h"
#include "term/order.h"
#include "testing/threads.h"

typedef enum tool_style {
    TOOL_INTS,           /* the head says all */
    TOOL_BINARIES,       /* one head for all */
    TOOL_MIXED,          /* integers, then tuples, then binaries */
    TOOL_FLOATS,         /* integers and the floats that are == to them */
    TOOL_STYLES
} tool_style;

static inline void tool_write_key(tsu_writer *w, tool_style style, uint32_t id, uint32_t variant)
{
    char text[64];

    if (style == TOOL_MIXED) style = id < 1000 ? TOOL_INTS : TOOL_BINARIES;
    switch (style) {
    case TOOL_FLOATS:
        if (variant % 2) tsu_write_float(w, (double)id - 50.0);
        else tsu_write_int(w, (int64_t)id - 50);
        return;
    case TOOL_BINARIES:
        if (id < 2000) {
            tsu_write_tuple_begin(w, 2);
            tsu_write_int(w, 7);
        }
        snprintf(text, sizeof text, "all keys begin like this/%010u", id);
        tsu_write_binary(w, text, strlen(text));
        return;
    default:
        tsu_write_int(w, (int64_t)id * 3 - 1000);
    }
}

static inline tsu_key tool_key_view(const uint8_t *bytes, size_t len)
{
    tsu_key key = {.bytes = bytes, .len = len};

    key.mark = tsu_order_head_both(bytes, &key.exact);
    return key;
}

/* The key in the caller's buffer of 128 bytes. */
static inline tsu_key tool_key(tool_style style, uint32_t id, uint32_t variant, uint8_t *buffer)
{
    tsu_writer w;

    tsu_writer_init(&w, buffer, 128);
    w.key = true;
    tool_write_key(&w, style, id, variant);
    CHECK(w.status == TSU_OK);
    CHECK(w.bytes == buffer);
    return tool_key_view(buffer, w.len);
}

/* The cell word of a new record; 0 when memory is short. */
static inline uint64_t tool_record(tsu_thread *self, tool_style style, uint32_t id, uint32_t variant, int64_t value)
{
    uint8_t         buffer[256];
    tsu_writer      w;
    tsu_object_mark mark;
    tsu_record     *r;

    tsu_writer_init(&w, buffer, sizeof buffer);
    tsu_write_object_begin(&w, 2, &mark);
    tool_write_key(&w, style, id, variant);
    tsu_write_int(&w, value);
    tsu_write_object_end(&w, 2, &mark);
    CHECK(w.status == TSU_OK);
    r = tsu_record_create(self, w.bytes, w.len);
    return r != NULL ? tsu_record_word(r) : 0;
}

static inline int64_t tool_value(uint64_t word)
{
    size_t  len;
    int64_t v = 0;

    CHECK(tsu_term_int64(tsu_object_element(tsu_version_object(word), 2, &len), &v));
    return v;
}

/* --- single-key writes ------------------------------------------------------------ */
typedef struct tool_edit {
    tsu_edit edit;             /* first */
    bool     only_new;
    bool     remove;
} tool_edit;

static inline tsu_verdict tool_decide(tsu_edit *edit, tsu_thread *self, uint64_t current)
{
    tool_edit *t = (tool_edit *)edit;

    (void)self;
    if (t->remove) return TSU_EDIT_REMOVE;
    if (t->only_new && current != 0) return TSU_EDIT_KEEP;
    return TSU_EDIT_PUT;
}

/* AGAIN from the tree is passed on. *had: the value that was there, or -1. */
static inline tsu_status tool_put(tsu_thread *self, tsu_root *root, tool_style style, uint32_t id,
                                  uint32_t variant, int64_t value, bool only_new, int64_t *had)
{
    uint8_t    buffer[128];
    tsu_key    key = tool_key(style, id, variant, buffer);
    tool_edit  t = {.edit = {.decide = tool_decide}, .only_new = only_new};
    tsu_status s;

    t.edit.put = tool_record(self, style, id, variant, value);
    if (t.edit.put == 0) return TSU_NOMEM;
    s = tsu_kind_tree.edit(self, root, &key, &t.edit);
    if (s != TSU_OK) {
        tsu_version_destroy(self, t.edit.put);
        return s;
    }
    *had = t.edit.old != 0 ? tool_value(t.edit.old) : -1;
    if (t.edit.verdict == TSU_EDIT_PUT) {
        if (t.edit.old != 0) (void)tsu_version_retire(self, t.edit.old);
    } else {
        tsu_version_destroy(self, t.edit.put);
    }
    return s;
}

static inline tsu_status tool_remove(tsu_thread *self, tsu_root *root, tool_style style, uint32_t id,
                                     uint32_t variant, int64_t *had)
{
    uint8_t    buffer[128];
    tsu_key    key = tool_key(style, id, variant, buffer);
    tool_edit  t = {.edit = {.decide = tool_decide}, .remove = true};
    tsu_status s = tsu_kind_tree.edit(self, root, &key, &t.edit);

    if (s != TSU_OK) return s;
    *had = -1;
    if (t.edit.verdict == TSU_EDIT_REMOVE) {
        *had = tool_value(t.edit.old);
        (void)tsu_version_retire(self, t.edit.old);
    }
    return s;
}

/* The value, or -1. */
static inline int64_t tool_find(tsu_thread *self, tsu_root *root, tool_style style, uint32_t id, uint32_t variant)
{
    uint8_t  buffer[128];
    tsu_key  key = tool_key(style, id, variant, buffer);
    uint64_t word = tsu_kind_tree.find(self, root, &key);

    return word != 0 ? tool_value(word) : -1;
}

/* --- commits ------------------------------------------------------------------------------ */
/* Makes `item` the commit's entry for the key. */
static inline void tool_item(tsu_thread *self, tool_style style, tsu_commit *commit, struct tsu_commit_item *item,
                             uint32_t id, int64_t value)
{
    uint8_t buffer[128];

    memset(item, 0, sizeof *item);
    item->entry.commit = commit;
    item->entry.word = tool_record(self, style, id, 0, value);
    item->mark = tool_key(style, id, 0, buffer).mark;
    CHECK(item->entry.word != 0);
    tsu_store_relaxed(&tsu_cell_version(item->entry.word)->header, (uint64_t)(uintptr_t)&item->entry | TSU_HEADER_ENTRY);
}

static inline tsu_status tool_install(tsu_thread *self, tsu_root *root, tool_style style, struct tsu_commit_item *item,
                                      uint32_t id, tsu_install_outcome *outcome, tsu_commit **other)
{
    uint8_t buffer[128];
    tsu_key key = tool_key(style, id, 0, buffer);

    return tsu_kind_tree.install(self, root, &key, &item->entry, outcome, other);
}

/* What the owner does once its commit is committed, or aborted. False: a version was dropped by somebody. */
static inline bool tool_settle(tsu_thread *self, struct tsu_commit_item *item, uint64_t ts)
{
    (void)tsu_version_retire(self, tsu_entry_freeze(&item->entry));
    return tsu_version_settle(item->entry.word, ts);
}

static inline void tool_undo(tsu_thread *self, tsu_root *root, tool_style style, struct tsu_commit_item *item, uint32_t id)
{
    uint8_t buffer[128];
    tsu_key key = tool_key(style, id, 0, buffer);

    tsu_kind_tree.restore(self, root, &key, &item->entry);
    tsu_version_retire_aborted(self, item->entry.word);
}

/* --- whole trees --------------------------------------------------------------------------- */
static inline tsu_root *tool_make(tsu_thread *self)
{
    tsu_root *root = NULL;

    CHECK(tsu_kind_tree.create(self, 1, &root) == TSU_OK);
    return root;
}

static inline void tool_expect_sound(tsu_thread *self, tsu_root *root)
{
    const char *fault = tsu_kind_tree.verify(self, root);

    EXPECT_STR(fault != NULL ? fault : "sound", "sound");
}

static inline void tool_destroy(tsu_thread *self, tsu_root *root)
{
    tsu_ebr_drain(self);
    while (!tsu_kind_tree.reap(self, root, 1000, tsu_version_destroy)) { }
    tsu_ebr_drain(self);
}

#endif
