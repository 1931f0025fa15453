/* term.h: terms of the VM to encoded bytes and back; the only place that knows both.
 *
 * Numbers and atoms inside of a word are read and made from its bits; load proves on samples that the bits
 * mean what this file thinks. A local pid or port is kept as its word; only the order asks for the number
 * in it, whose bits are found at load, or which the external term format tells. Local references are read,
 * and made by overwriting a fresh one; where the proof fails they go through the external term format, and
 * each is held. Tuples, lists, floats, small maps and binaries on the heap are read in place, or asked for where their
 * proof fails.
 *
 * HANDLES are of two kinds: a blob (a resource with the bytes of a large binary, which
 * readers share), and a holder (bit 0 set: a private environment with the copy of a magic reference).
 *
 * Ownership   what encode adds to a writer, handles included, is the writer's (codec.h).
 * Threads     encode and decode need the caller's environment; retain and release any thread.
 * Limits      a fun inside of the environment of a fun costs its size once for each level around it.
 * Checked by  tsunami_term_tests.erl
 */
#ifndef TSU_NIF_TERM_H
#define TSU_NIF_TERM_H

#include "erl_nif.h"
#include "term/codec.h"

/* Opens the resource type, proves what has to be proven, fills in tsu_codec. False: this VM keeps its terms
 * in a way unknown here, or memory is short; then nothing else here may be called. For load and upgrade. */
bool tsu_nif_term_load(ErlNifEnv *env);
/* For tests: from now on as if nothing had been proven that has another way, or (false) as load found it. References
 * encoded before and after are not the same. What load has proven: 1 references, 2 numbers of pids and ports, 4 layouts
 * of tuples, lists, floats and maps, 8 of binaries. */
unsigned tsu_nif_term_distrust(bool distrust);
/* Frees the texts of atoms, and the binaries kept by share.h. No table may be left. */
void tsu_nif_term_unload(void);

/* Appends one term, as a value; or as a key (no blobs). TSU_BADARG: a kind of term that is not
 * known; TSU_NOMEM, TSU_LIMIT: as they say. On error the writer's contents are of no use. */
tsu_status tsu_nif_encode_term(ErlNifEnv *env, ERL_NIF_TERM term, tsu_writer *w);
tsu_status tsu_nif_encode_key(ErlNifEnv *env, ERL_NIF_TERM term, tsu_writer *w);
/* Appends an object; element `keypos` is written as a key. TSU_BADARG: not a tuple, or too few elements.
 * A keypos of 0 means that no element is a key. */
tsu_status tsu_nif_encode_object(ErlNifEnv *env, ERL_NIF_TERM tuple, int keypos, tsu_writer *w);
struct tsu_table;
/* The same for a table into which it is to go: what there is of its key is on its way to the processor while the rest is written.
 * Pinned. */
tsu_status tsu_nif_encode_object_for(ErlNifEnv *env, ERL_NIF_TERM tuple, struct tsu_table *table, tsu_writer *w);

/* One term, moving *p behind it; or a whole object as a tuple. 0: memory is short. */
ERL_NIF_TERM tsu_nif_decode_term_slow(ErlNifEnv *env, const uint8_t **p);
ERL_NIF_TERM tsu_nif_decode_object(ErlNifEnv *env, const uint8_t *obj);

/* One more, one less reference to a handle. */
void tsu_nif_handle_retain(uint64_t handle);
void tsu_nif_handle_release(uint64_t handle);

/* UTF-8 text of an atom by its number: valid until unload. */
const uint8_t *tsu_nif_atom_text(uint64_t atom, size_t *len);

/* Whether a local reference is one that keeps something alive, such as a tid of ets. */
bool tsu_nif_is_magic_ref(ERL_NIF_TERM ref);

/* Bits of words, as proven by load. */
static inline bool tsu_nif_is_small(ERL_NIF_TERM t) { return (t & 0xf) == 0xf; }
static inline bool tsu_nif_is_atom(ERL_NIF_TERM t) { return (t & 0x3f) == 0x0b; }
/* A small integer or an atom at p, where there is room for 9 bytes: its length; 0: the term is neither. */
static inline unsigned tsu_nif_word_put(uint8_t *p, ERL_NIF_TERM term)
{
    if (TSU_LIKELY(tsu_nif_is_small(term))) return tsu_int_put(p, (int64_t)term >> 4);
    return tsu_nif_is_atom(term) ? tsu_atom_put(p, term >> 6) : 0;
}
static inline ERL_NIF_TERM tsu_nif_int(ErlNifEnv *env, int64_t v)
{
    ERL_NIF_TERM term = (ERL_NIF_TERM)((uint64_t)v << 4 | 0xf);
    return TSU_LIKELY((int64_t)term >> 4 == v) ? term : enif_make_int64(env, v);
}
static inline ERL_NIF_TERM tsu_nif_atom(uint64_t atom) { return (ERL_NIF_TERM)(atom << 6 | 0x0b); }
/* The small integer or atom at *p, moving behind it; 0: it is something else. */
static inline __attribute__((always_inline)) ERL_NIF_TERM tsu_nif_word_get(const uint8_t **p)
{
    int64_t        v;
    const uint8_t *end = tsu_int_get(*p, &v);
    ERL_NIF_TERM   term;
    if (TSU_LIKELY(end != NULL)) {
        term = (ERL_NIF_TERM)((uint64_t)v << 4 | 0xf);
        if (TSU_UNLIKELY((int64_t)term >> 4 != v)) return 0;
        *p = end;
        return term;
    }
    if (**p != TSU_TAG_ATOM4) return 0;
    term = tsu_nif_atom(tsu_get32(*p + 1));
    *p += 5;
    return term;
}
static inline ERL_NIF_TERM tsu_nif_decode_term(ErlNifEnv *env, const uint8_t **p)
{
    ERL_NIF_TERM term = tsu_nif_word_get(p);
    return TSU_LIKELY(term != 0) ? term : tsu_nif_decode_term_slow(env, p);
}
/* Is the key at p this term? True is certain; false if that takes longer to find out. */
bool tsu_nif_key_is_slow(ErlNifEnv *env, ERL_NIF_TERM term, const uint8_t *p);
static inline bool tsu_nif_key_is(ErlNifEnv *env, ERL_NIF_TERM term, const uint8_t *p)
{
    return TSU_LIKELY((term & 3) == 3) ? tsu_nif_word_get(&p) == term : tsu_nif_key_is_slow(env, term, p);
}

#endif
