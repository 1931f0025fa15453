/* term_text.c: texts of atoms by their numbers. */
#include "nif/etf.h"
#include "nif/share.h"

#include <stdatomic.h>

/* Number -> text, in chunks that come into being when needed and stay. Readers take no lock. */
#define CHUNK_BITS 12
#define CHUNKS_MAX (1 << 16)
typedef struct atom_entry {
    uint16_t len;
    uint8_t  text[];
} atom_entry;
typedef struct atom_chunk {
    _Atomic(atom_entry *) entries[1 << CHUNK_BITS];
} atom_chunk;
static _Atomic(atom_chunk *) chunks[CHUNKS_MAX];

static atom_chunk *chunk_get(uint64_t at)
{
    atom_chunk *chunk = atomic_load_explicit(&chunks[at], memory_order_acquire);
    atom_chunk *made;

    if (chunk != NULL) return chunk;
    made = tsu_env_alloc(sizeof *made);
    if (made == NULL) return NULL;
    memset(made, 0, sizeof *made);
    if (atomic_compare_exchange_strong(&chunks[at], &chunk, made)) return made;
    tsu_env_free(made, sizeof *made);
    return chunk;
}

/* The text of an atom that is not in the table; put there if memory allows, else in one of some buffers
 * of the thread, which holds as long as a comparison needs it. */
#define SPARE_TEXTS 4
static const uint8_t *atom_text_slow(uint64_t atom, size_t *len)
{
    static _Thread_local uint8_t (*buffers)[TSU_ETF_ATOM_MAX];
    static _Thread_local unsigned turn;
    static const uint8_t          nothing[1];
    uint8_t                      *text;
    ErlNifBinary                  bin;
    const uint8_t                *p;
    atom_chunk                   *chunk;
    atom_entry                   *entry = NULL, *none = NULL;

    *len = 0;
    if (buffers == NULL) buffers = tsu_env_alloc(SPARE_TEXTS * sizeof *buffers);
    if (buffers == NULL) return nothing;
    text = buffers[turn++ % SPARE_TEXTS];
    if (!enif_term_to_binary(NULL, tsu_nif_atom(atom), &bin)) return text;
    p = bin.data + 1;
    if (!tsu_etf_atom(&p, text, len)) *len = 0;
    enif_release_binary(&bin);
    if (atom >> CHUNK_BITS >= CHUNKS_MAX) return text;
    chunk = chunk_get(atom >> CHUNK_BITS);
    if (chunk != NULL) entry = tsu_env_alloc(sizeof *entry + *len);
    if (entry == NULL) return text;
    entry->len = (uint16_t)*len;
    memcpy(entry->text, text, *len);
    if (atomic_compare_exchange_strong(&chunk->entries[atom & ((1 << CHUNK_BITS) - 1)], &none, entry))
        return entry->text;
    tsu_env_free(entry, sizeof *entry + *len);
    return none->text;
}

const uint8_t *tsu_nif_atom_text(uint64_t atom, size_t *len)
{
    if (TSU_LIKELY(atom >> CHUNK_BITS < CHUNKS_MAX)) {
        atom_chunk *chunk = atomic_load_explicit(&chunks[atom >> CHUNK_BITS], memory_order_acquire);
        if (TSU_LIKELY(chunk != NULL)) {
            atom_entry *entry = atomic_load_explicit(&chunk->entries[atom & ((1 << CHUNK_BITS) - 1)],
                                                     memory_order_acquire);
            if (TSU_LIKELY(entry != NULL)) {
                *len = entry->len;
                return entry->text;
            }
        }
    }
    return atom_text_slow(atom, len);
}

void tsu_nif_term_unload(void)
{
    tsu_share_clear();
    for (size_t i = 0; i < CHUNKS_MAX; i++) {
        atom_chunk *chunk = atomic_exchange(&chunks[i], NULL);
        if (chunk == NULL) continue;
        for (size_t j = 0; j < (size_t)1 << CHUNK_BITS; j++) {
            atom_entry *entry = atomic_load(&chunk->entries[j]);
            if (entry != NULL) tsu_env_free(entry, sizeof *entry + entry->len);
        }
        tsu_env_free(chunk, sizeof *chunk);
    }
}
