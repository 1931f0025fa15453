/* share.c: binaries that many objects have in common. */
#include "nif/share.h"

#include "base/atomic.h"
#include "base/env.h"
#include "term/hash.h"

#include <string.h>

enum {
    SLOTS = 64,
    SIGHTS_MIN = 8,             /* so often a binary has been seen before it is worth a blob, ... */
    PATIENCE = 64               /* ... and so many others may come by before it has to give way */
};

/* Who changes `blob` holds `busy`; the rest are hints, and may be of two binaries at once. */
typedef struct share_slot {
    tsu_word address, hash;     /* of the binary seen last */
    tsu_word sights;            /* one after another, with equal hashes */
    tsu_word patience;
    tsu_word busy;
    void    *blob;
    size_t   size;
} share_slot;

static share_slot slots[SLOTS];

static bool slot_enter(share_slot *s)
{
    uint64_t free = 0;
    return tsu_cas(&s->busy, &free, 1);
}

static void slot_leave(share_slot *s) { tsu_store_release(&s->busy, 0); }

static void blob_drop(share_slot *s)
{
    if (s->blob != NULL) enif_release_resource(s->blob);
    s->blob = NULL;
    tsu_store_relaxed(&s->sights, 0);
}

/* Another binary than the one that the slot is for. */
static void slot_pass(share_slot *s, uint64_t address)
{
    uint64_t patience = tsu_load_relaxed(&s->patience);

    if (patience > 0) {
        tsu_store_relaxed(&s->patience, patience - 1);
        return;
    }
    if (!slot_enter(s)) return;
    blob_drop(s);
    tsu_store_relaxed(&s->address, address);
    slot_leave(s);
}

/* Whether the binary has been here often enough. */
static bool slot_knows(share_slot *s, const uint8_t *bytes, size_t size)
{
    uint64_t sights = tsu_load_relaxed(&s->sights), hash;

    if (sights >= SIGHTS_MIN) return true;
    hash = tsu_hash(bytes, size, size);
    if (tsu_load_relaxed(&s->hash) != hash) sights = 0;
    tsu_store_relaxed(&s->hash, hash);
    tsu_store_relaxed(&s->sights, sights + 1);
    return false;
}

void *tsu_share_take(ErlNifResourceType *type, const uint8_t *bytes, size_t size)
{
    uint64_t    address = (uint64_t)(uintptr_t)bytes;
    share_slot *s = &slots[(address * 0x9e3779b97f4a7c15u) >> 58];
    void       *blob = NULL;

    if (tsu_load_relaxed(&s->address) != address) {
        slot_pass(s, address);
        return NULL;
    }
    if (!slot_knows(s, bytes, size) || !slot_enter(s)) return NULL;
    if (s->blob != NULL && (s->size != size || memcmp(s->blob, bytes, size) != 0)) {
        blob_drop(s);
    } else if (s->blob == NULL) {
        s->blob = enif_alloc_resource(type, size);
        s->size = size;
        if (s->blob != NULL) memcpy(s->blob, bytes, size);
    }
    blob = s->blob;
    if (blob != NULL) {
        enif_keep_resource(blob);
        tsu_store_relaxed(&s->patience, PATIENCE);
    }
    slot_leave(s);
    return blob;
}

void tsu_share_clear(void)
{
    for (size_t i = 0; i < SLOTS; i++) {
        blob_drop(&slots[i]);
        tsu_store_relaxed(&slots[i].patience, 0);
        tsu_store_relaxed(&slots[i].address, 0);
    }
}
