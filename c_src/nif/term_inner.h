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
} tsu_vm_terms;
extern tsu_vm_terms tsu_vm;

static inline uint64_t tsu_header_of(ERL_NIF_TERM boxed)
{
    return *(const uint64_t *)(uintptr_t)(boxed & ~(ERL_NIF_TERM)7);
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
