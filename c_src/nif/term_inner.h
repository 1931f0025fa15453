/* term_inner.h: what term.c finds out at load about this VM, for term_encode.c and term_decode.c; nobody else.
 */
#ifndef TSU_NIF_TERM_INNER_H
#define TSU_NIF_TERM_INNER_H

#include "nif/term.h"

#include <stdatomic.h>

#define TSU_SMALL_MAX (((int64_t)1 << 59) - 1)
#define TSU_SMALL_MIN (-((int64_t)1 << 59))
#define TSU_HEADER_KIND 0x3f        /* bits of a header word that tell the kind of what is boxed */
#define TSU_REF_WORDS_AT 12         /* in a local reference: header, marker, three words */

/* Fixed after load. */
typedef struct tsu_vm_terms {
    ERL_NIF_TERM        nil;
    ErlNifResourceType *blob_type;
    bool                refs_proven;                    /* local references lie in memory as thought */
    uint64_t            ref_header, magic_header;       /* header words of an ordinary reference, of a magic one */
    bool                layouts_proven;                 /* tuples, lists, floats and small maps lie in memory as thought */
    uint64_t            float_header, flatmap_header;
    bool                binaries_proven;                /* so do binaries on the heap */
    uint64_t            binary_kind;                    /* of their header */
    unsigned            binary_shift;                   /* from what their second word says to bytes: 0, or 3 (OTP 27) */
} tsu_vm_terms;
extern tsu_vm_terms tsu_vm;

/* The words of what is boxed, the header first; or of a list's first cell: head and tail. */
static inline const ERL_NIF_TERM *tsu_words_of(ERL_NIF_TERM term)
{
    return (const ERL_NIF_TERM *)(uintptr_t)(term & ~(ERL_NIF_TERM)7);
}
static inline uint64_t tsu_header_of(ERL_NIF_TERM boxed) { return tsu_words_of(boxed)[0]; }

/* ---- What is read in place if load has proven where it lies, and asked for otherwise ---- */

#define TSU_HEADER_ARITY_SHIFT 6
static inline bool tsu_is_tuple(ERL_NIF_TERM boxed) { return (tsu_header_of(boxed) & TSU_HEADER_KIND) == 0; }
static inline const ERL_NIF_TERM *tsu_tuple_get(ErlNifEnv *env, ERL_NIF_TERM tuple, size_t *arity)
{
    const ERL_NIF_TERM *elements = NULL;
    int                 n = 0;

    if (TSU_LIKELY(tsu_vm.layouts_proven)) {
        *arity = (size_t)(tsu_header_of(tuple) >> TSU_HEADER_ARITY_SHIFT);
        return tsu_words_of(tuple) + 1;
    }
    enif_get_tuple(env, tuple, &n, &elements);
    *arity = (size_t)n;
    return elements;
}
static inline bool tsu_list_get(ErlNifEnv *env, ERL_NIF_TERM list, ERL_NIF_TERM *head, ERL_NIF_TERM *tail)
{
    if (TSU_UNLIKELY(!tsu_vm.layouts_proven)) return enif_get_list_cell(env, list, head, tail) != 0;
    if ((list & 3) != 1) return false;
    *head = tsu_words_of(list)[0];
    *tail = tsu_words_of(list)[1];
    return true;
}
static inline double tsu_float_get(ErlNifEnv *env, ERL_NIF_TERM term)
{
    double f = 0;

    if (TSU_LIKELY(tsu_vm.layouts_proven)) memcpy(&f, tsu_words_of(term) + 1, sizeof f);
    else enif_get_double(env, term, &f);
    return f;
}
/* A map of few pairs: their number, a tuple of its keys, and its values. False: it has many, or nothing is proven. */
#define TSU_FLATMAP_MAX 32
static inline bool tsu_flatmap_get(ERL_NIF_TERM map, size_t *n, const ERL_NIF_TERM **keys, const ERL_NIF_TERM **values)
{
    const ERL_NIF_TERM *words = tsu_words_of(map);

    if (!tsu_vm.layouts_proven || words[0] != tsu_vm.flatmap_header || words[1] > TSU_FLATMAP_MAX) return false;
    *n = (size_t)words[1];
    *keys = tsu_words_of(words[2]) + 1;
    *values = words + 3;
    return true;
}
/* A binary on the process's heap. False: it lies elsewhere, has bits over, or nothing is proven. */
static inline bool tsu_heap_binary_get(ERL_NIF_TERM bits, const uint8_t **bytes, size_t *size)
{
    const ERL_NIF_TERM *words = tsu_words_of(bits);

    if (!tsu_vm.binaries_proven || (words[0] & TSU_HEADER_KIND) != tsu_vm.binary_kind) return false;
    if ((words[1] & ((1u << tsu_vm.binary_shift) - 1)) != 0) return false;
    *size = (size_t)(words[1] >> tsu_vm.binary_shift);
    *bytes = (const uint8_t *)(words + 2);
    return true;
}

/* A local reference made by make_ref: three words behind a marker. A magic one may have the same header; it
 * has the low half of a pointer where the marker is, and pointers are even. */
#define TSU_REF_MARKER 0xffffffffu
static inline bool tsu_ref_is_ordinary(ERL_NIF_TERM ref)
{
    return tsu_header_of(ref) == tsu_vm.ref_header &&
           tsu_get32((const uint8_t *)(uintptr_t)(ref & ~(ERL_NIF_TERM)7) + 8) == TSU_REF_MARKER;
}

/* Bits of the second word: set in what is magic or an alias. An alias may have its process behind three words and
 * hide it (OTP 25): the VM, asked by numbers, knows whether it still leads there. */
#define TSU_REF_MARKS 0x30000u

static inline uint8_t *tsu_ref_words(ERL_NIF_TERM ref)
{
    return (uint8_t *)(uintptr_t)(ref & ~(ERL_NIF_TERM)7) + TSU_REF_WORDS_AT;
}

/* A holder: bit 0 of its handle is set. */
typedef struct tsu_holder {
    atomic_long  refs;
    ErlNifEnv   *env;
    ERL_NIF_TERM term;
} tsu_holder;
static inline tsu_holder *tsu_holder_of(uint64_t handle) { return (tsu_holder *)(uintptr_t)(handle & ~(uint64_t)1); }
/* A handle that keeps the term alive, or 0. */
uint64_t tsu_holder_create(ERL_NIF_TERM term);

#endif
