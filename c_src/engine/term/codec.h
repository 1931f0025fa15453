/* codec.h: terms as bytes, canonical: equal bytes <=> =:=.
 *
 * A TERM is a tag byte and what the table says; varints are LEB128, all other numbers
 * little-endian. Everything has exactly one encoding, the shortest that fits.
 *
 *   00..7f  INT        the number itself, -16..111
 *   80..87  INT        1..8 bytes, two's complement
 *   88, 89  BIG + / -  varint n, n bytes of magnitude (outside int64)
 *   8a      FLOAT      8 bytes, IEEE 754
 *   8b, 8c  ATOM       index in 4 / 8 bytes
 *   8d      NIL
 *   8e      BINARY     varint size >= 32, bytes          (c0..df: size 0..31 in the tag)
 *   8f      BITSTRING  varint bits, not a multiple of 8, bytes; unused low bits of the last are 0
 *   90      BLOB       varint size, handle of 8 bytes    (never in a key)
 *   91      STRING     varint n >= 1, n bytes: a proper list of 0..255
 *   92      LIST       varint n >= 1, n terms: any other proper list
 *   93      IMPROPER   varint n >= 1, n terms, the tail (never a list)
 *   94      TUPLE      varint arity >= 16, terms         (e0..ef: arity 0..15 in the tag)
 *   95      MAP        varint n, n pairs of key and value, sorted by the bytes of the keys
 *   96, 97  PID, PORT  local: the VM's word, 8 bytes
 *   98, 99  REF        local, 3 words of 4 bytes; 99 is "magic": it keeps something alive
 *   9a      REF        local, u8 n in 4..5, n words, the last not 0
 *   9b      PID        of another node: u16 length and text of the node, creation, number, serial (4 each)
 *   9c      PORT       of another node: node, creation (4), number (8)
 *   9d      REF        of another node: node, creation (4), u8 n in 1..5, n words, the last not 0 if n > 1
 *   9e      FUN        local: u8 arity, 16 bytes unique, index, old index, old unique (4 each),
 *                      u8 n, module (a term: an atom), n terms: the environment
 *   9f      EXPORT     u8 arity, module, function (terms: atoms)
 *   a0, a1  LEAST, MOST  no terms, but places in Erlang's order, before and after all of them: in bounds of a search,
 *                      never in an object, and no well-formed term has one
 *
 * An OBJECT is a tuple in a table:
 *
 *   byte 0      low 4 bits: arity 0..14, or 15: it follows as a varint; 0x10 HANDLES; 0x20 LOOSE; 0x40 LAST
 *   varint      length of the whole object in bytes
 *   [varint]    arity, if >= 15
 *   terms       the elements
 *   [trailer]   if HANDLES and not LAST: n handles of 8 bytes, then n in 4 bytes
 *
 * HANDLES are references that the object owns: the trailer lists one for each BLOB and each magic REF in
 * the order in which they stand in the elements. A blob's handle stands in its token too, so that a
 * token can be read without its object. LAST: the only handle is that of a BLOB with which the object ends, and stands nowhere
 * else: {Key, Binary} has no trailer, and fits into fewer cache lines. A writer collects handles as it goes and owns them until
 * tsu_writer_give.
 *
 * Exceptions to "canonical", all outside of keys: a BLOB equals a binary of the same bytes; while 0.0 =:= -0.0
 * (before OTP 27) the zeros keep their sign. An object that holds one of these is LOOSE; tsu_object_same
 * looks closer. KEYS (the key element, and every key of a map) are written with tsu_writer.key set:
 * no blobs, and no -0.0 where the zeros are equal. Bytes outside of handles decide =:= there.
 * A fun's creator is not kept: it is no part of its identity.
 *
 * Invariants  K1  equal keys have equal bytes.  K2  no encoding is a prefix of another.
 * Ownership   readers lend pointers into the object. What a writer allocated goes with deinit.
 * Limits      readers other than validate trust their bytes. validate takes time in size times nesting of
 *             maps and improper lists.
 * Checked by  codec_test.c, fuzz_codec.c, tsunami_term_tests.erl (K1 against the VM)
 */
#ifndef TSU_TERM_CODEC_H
#define TSU_TERM_CODEC_H

#include "base/check.h"
#include "base/env.h"
#include "base/status.h"

#include <string.h>

/* Binaries outside of keys of at least so many bytes become blobs. One weighs ~120 bytes on top of its contents, costs
 * 650 to 700 ns to insert from 512 to 1024 bytes (inline 330 to 530), 300 more to delete, and 130 to look up at any
 * size (inline 280 at 512, 530 at 1024, 750 at 2000): two lookups to an insert pay for it from about 512 on. Smaller ones
 * may be blobs that many objects share. */
#define TSU_BLOB_BYTES_MIN 512

#define TSU_OBJECT_ARITY 0x0f
#define TSU_OBJECT_HANDLES 0x10
#define TSU_OBJECT_LOOSE 0x20
#define TSU_OBJECT_LAST 0x40

enum {
    TSU_TAG_INT = 0x80, TSU_TAG_BIGPOS = 0x88, TSU_TAG_BIGNEG, TSU_TAG_FLOAT, TSU_TAG_ATOM4,
    TSU_TAG_ATOM8, TSU_TAG_NIL, TSU_TAG_BINARY, TSU_TAG_BITSTRING, TSU_TAG_BLOB, TSU_TAG_STRING,
    TSU_TAG_LIST, TSU_TAG_IMPROPER, TSU_TAG_TUPLE, TSU_TAG_MAP, TSU_TAG_PID, TSU_TAG_PORT,
    TSU_TAG_REF, TSU_TAG_REF_MAGIC, TSU_TAG_REF_LONG, TSU_TAG_PID_EXT, TSU_TAG_PORT_EXT,
    TSU_TAG_REF_EXT, TSU_TAG_FUN, TSU_TAG_EXPORT, TSU_TAG_LEAST, TSU_TAG_MOST,
    TSU_TAG_BINARY0 = 0xc0, TSU_TAG_TUPLE0 = 0xe0
};

/* How the terms of this VM behave, and what only the VM knows. Set once before any table. */
typedef struct tsu_codec_config {
    bool     zero_signs_equal;                                    /* 0.0 =:= -0.0 */
    /* What orders local pids and ports: serial << 32 | number of a pid, number of a port, from the VM's bits. They
     * are equal iff their bits are. Unset: the bits are it. */
    uint64_t (*local_number)(uint64_t bits, bool pid);
    const uint8_t *(*atom_text)(uint64_t atom, size_t *len);      /* UTF-8; lent for a few calls */
    const uint8_t *(*node)(size_t *len, uint32_t *creation);      /* this node's name, as of now */
    const uint8_t *(*blob_bytes)(uint64_t handle);
    void (*retain)(uint64_t handle);
    void (*release)(uint64_t handle);
} tsu_codec_config;
extern tsu_codec_config tsu_codec;

/* ---- Varints ---- */

#define TSU_VARINT_BYTES_MAX 10
static inline size_t tsu_varint_size(uint64_t v)
{
    size_t n = 1;
    while (v >= 0x80) { v >>= 7; n++; }
    return n;
}
static inline uint8_t *tsu_varint_put(uint8_t *p, uint64_t v)
{
    while (v >= 0x80) { *p++ = (uint8_t)(v | 0x80); v >>= 7; }
    *p++ = (uint8_t)v;
    return p;
}
static inline uint64_t tsu_varint_get(const uint8_t **p)
{
    const uint8_t *q = *p;
    uint64_t       v = *q++;
    if (TSU_UNLIKELY(v >= 0x80)) {
        unsigned shift = 7;
        v &= 0x7f;
        for (;;) {
            uint64_t b = *q++;
            v |= (b & 0x7f) << shift;
            if (b < 0x80) break;
            shift += 7;
        }
    }
    *p = q;
    return v;
}
static inline uint64_t tsu_get64(const uint8_t *p) { uint64_t v; memcpy(&v, p, 8); return v; }
static inline uint32_t tsu_get32(const uint8_t *p) { uint32_t v; memcpy(&v, p, 4); return v; }
static inline void tsu_put64(uint8_t *p, uint64_t v) { memcpy(p, &v, 8); }
static inline void tsu_put32(uint8_t *p, uint32_t v) { memcpy(p, &v, 4); }

/* memcpy, without a call for what objects and their parts mostly are. */
static inline void tsu_bytes_copy(uint8_t *to, const uint8_t *from, size_t len)
{
    uint64_t word;
    uint32_t half;
    if (len > 32) {
        memcpy(to, from, len);
    } else if (len >= 8) {
        if (len > 16) {
            memcpy(to, from, 16);
            if (len > 24) { memcpy(&word, from + 16, 8); memcpy(to + 16, &word, 8); }
        } else {
            memcpy(&word, from, 8);
            memcpy(to, &word, 8);
        }
        memcpy(&word, from + len - 8, 8);
        memcpy(to + len - 8, &word, 8);
    } else if (len >= 4) {
        memcpy(&half, from, 4);
        memcpy(to, &half, 4);
        memcpy(&half, from + len - 4, 4);
        memcpy(to + len - 4, &half, 4);
    } else if (len > 0) {
        to[0] = from[0];
        to[len >> 1] = from[len >> 1];
        to[len - 1] = from[len - 1];
    }
}

/* ---- Writer ---- */

#define TSU_HANDLES_FEW 2

/* Bytes that grow: first in the caller's buffer, then on the heap. It stays where it was initialized. The first failure sticks in
 * `status`, and every later write does nothing. */
typedef struct tsu_writer {
    uint8_t   *bytes;
    size_t     len, cap;
    uint8_t   *stack;           /* the caller's buffer */
    size_t     stack_cap;
    uint64_t  *handles;         /* owned, in token order */
    size_t     handle_count, handle_cap;
    size_t     blob_end;        /* where the last handle's token ended when it was written, if it is a blob's; else 0 */
    uint64_t   few_handles[TSU_HANDLES_FEW];
    tsu_status status;
    bool       key;             /* what is written now is part of a key */
    bool       share;           /* ... of an object, and smaller binaries too may become blobs */
    bool       loose;           /* something LOOSE was written since the object began */
} tsu_writer;

static inline void tsu_writer_init(tsu_writer *w, uint8_t *buffer, size_t cap)
{
    w->bytes = buffer; w->len = 0; w->cap = cap; w->stack = buffer; w->stack_cap = cap;
    w->handles = NULL; w->handle_count = w->handle_cap = w->blob_end = 0;
    w->status = TSU_OK; w->key = w->share = w->loose = false;
}
/* Releases the handles that were not given away, and the memory. */
void tsu_writer_deinit(tsu_writer *w);
/* Empties it: handles are released, memory is kept, the error forgotten. */
void tsu_writer_reset(tsu_writer *w);
/* The handles now belong to whoever copied the bytes. */
static inline void tsu_writer_give(tsu_writer *w) { w->handle_count = 0; }
/* Room for `more` bytes, or false: the status says why. */
bool tsu_writer_grow(tsu_writer *w, size_t more);
static inline bool tsu_writer_room(tsu_writer *w, size_t more)
{
    return TSU_LIKELY(w->cap - w->len >= more) || tsu_writer_grow(w, more);
}
static inline void tsu_write_byte(tsu_writer *w, uint8_t b)
{
    if (tsu_writer_room(w, 1)) w->bytes[w->len++] = b;
}
void tsu_write_bytes(tsu_writer *w, const void *bytes, size_t len);   /* as they are */
void tsu_write_varint(tsu_writer *w, uint64_t v);
/* Adds a handle to the object, taking it over; it is released if there is no room. */
void tsu_write_handle(tsu_writer *w, uint64_t handle);

/* An integer's, an atom's encoding as a little-endian word, and its length; 9: the last byte is not in the word. */
static inline unsigned tsu_int_word(int64_t v, uint64_t *word)
{
    unsigned n;
    if (v >= -16 && v <= 111) {
        *word = (uint64_t)(v + 16);
        return 1;
    }
    n = (unsigned)(64 - __builtin_clzll((v < 0 ? ~(uint64_t)v : (uint64_t)v) | 1)) / 8 + 1;
    *word = (uint64_t)v << 8 | (TSU_TAG_INT + n - 1);
    return n + 1;
}
static inline unsigned tsu_atom_word(uint64_t atom, uint64_t *word)
{
    *word = atom << 8 | (atom <= UINT32_MAX ? TSU_TAG_ATOM4 : TSU_TAG_ATOM8);
    return atom <= UINT32_MAX ? 5 : 9;
}
/* The same at p, where there is room for 9 bytes; returns the length. Tag and contents go in one store: who reads them back at
 * once, to hash or copy them, would wait for two to come together. */
static inline unsigned tsu_int_put(uint8_t *p, int64_t v)
{
    uint64_t word;
    unsigned n = tsu_int_word(v, &word);
    tsu_put64(p, word);
    p[8] = (uint8_t)((uint64_t)v >> 56);
    return n;
}
static inline unsigned tsu_atom_put(uint8_t *p, uint64_t atom)
{
    uint64_t word;
    unsigned n = tsu_atom_word(atom, &word);
    tsu_put64(p, word);
    p[8] = (uint8_t)(atom >> 56);
    return n;
}
static inline void tsu_write_int(tsu_writer *w, int64_t v)
{
    if (tsu_writer_room(w, 9)) w->len += tsu_int_put(w->bytes + w->len, v);
}
static inline void tsu_write_atom(tsu_writer *w, uint64_t atom)
{
    if (tsu_writer_room(w, 9)) w->len += tsu_atom_put(w->bytes + w->len, atom);
}
static inline void tsu_write_nil(tsu_writer *w) { tsu_write_byte(w, TSU_TAG_NIL); }
static inline void tsu_write_tuple_begin(tsu_writer *w, size_t arity)
{
    if (arity < 16) { tsu_write_byte(w, (uint8_t)(TSU_TAG_TUPLE0 + arity)); return; }
    tsu_write_byte(w, TSU_TAG_TUPLE);
    tsu_write_varint(w, arity);
}
void tsu_write_float(tsu_writer *w, double v);
/* A number of any size; chooses INT or BIG. `magnitude` little-endian. */
void tsu_write_big(tsu_writer *w, bool negative, const uint8_t *magnitude, size_t len);
/* Always inline: blobs are the business of whoever has them (tsu_write_blob). */
void tsu_write_binary(tsu_writer *w, const void *bytes, size_t size);
void tsu_write_bitstring(tsu_writer *w, const uint8_t *bytes, uint64_t bits);
/* Takes over the handle. Not in keys. */
void tsu_write_blob(tsu_writer *w, uint64_t size, uint64_t handle);
void tsu_write_string(tsu_writer *w, const uint8_t *bytes, size_t n);
/* The same, and where the caller has to put the n bytes; NULL: no room. */
uint8_t *tsu_write_string_begin(tsu_writer *w, size_t n);
/* n >= 1 terms follow, and if improper a tail. The caller sees to it that a list of
 * bytes goes to tsu_write_string and that a tail is not a list. */
void tsu_write_list_begin(tsu_writer *w, uint64_t n, bool improper);
/* n pairs follow; then tsu_write_map_end with the offsets at which the pairs began puts them in order. */
void tsu_write_map_begin(tsu_writer *w, uint64_t n);
typedef struct tsu_map_mark { size_t at, handle; } tsu_map_mark;
/* `marks` has n + 1 entries: bytes and handles written before each pair, and after the last. They
 * are scratch afterwards. */
void tsu_write_map_end(tsu_writer *w, tsu_map_mark *marks, size_t n);

/* Writes the prefix of an object; elements follow; end fixes the prefix and adds the
 * trailer. `mark` remembers where it began, so that one writer holds many objects. */
typedef struct tsu_object_mark { size_t at, handle; } tsu_object_mark;
void tsu_write_object_end_slow(tsu_writer *w, const tsu_object_mark *mark);
#define TSU_OBJECT_HEAD_MAX (2 + TSU_VARINT_BYTES_MAX)      /* bytes */
static inline void tsu_write_object_begin(tsu_writer *w, size_t arity, tsu_object_mark *mark)
{
    mark->at = w->len;
    mark->handle = w->handle_count;
    w->loose = false;
    /* One byte for the length, which is enough nearly always; end moves the rest if it is not. */
    if (!tsu_writer_room(w, TSU_OBJECT_HEAD_MAX)) return;
    w->bytes[w->len] = (uint8_t)(arity < 15 ? arity : 15);
    w->len += 2;
    if (TSU_UNLIKELY(arity >= 15)) w->len = (size_t)(tsu_varint_put(w->bytes + w->len, arity) - w->bytes);
}
static inline void tsu_write_object_end(tsu_writer *w, size_t arity, const tsu_object_mark *mark)
{
    size_t len = w->len - mark->at;
    (void)arity;
    if (TSU_LIKELY(len < 0x80 && w->handle_count == mark->handle && !w->loose && w->status == TSU_OK))
        w->bytes[mark->at + 1] = (uint8_t)len;
    else
        tsu_write_object_end_slow(w, mark);
}

/* ---- Reader ---- */

typedef enum tsu_kind_of_term {
    TSU_INT, TSU_BIG, TSU_FLOAT, TSU_ATOM, TSU_NIL, TSU_BINARY, TSU_BITSTRING, TSU_BLOB, TSU_STRING, TSU_LIST,
    TSU_TUPLE, TSU_MAP, TSU_PID, TSU_PORT, TSU_REF, TSU_PID_EXT, TSU_PORT_EXT, TSU_REF_EXT, TSU_FUN, TSU_EXPORT,
    TSU_LEAST, TSU_MOST
} tsu_kind_of_term;

typedef struct tsu_token {
    uint8_t        kind;        /* tsu_kind_of_term */
    bool           flag;        /* BIG: negative; LIST: improper; REF: magic */
    uint64_t       children;    /* terms that follow and belong to this one */
    union {
        int64_t    i;           /* INT */
        double     f;           /* FLOAT */
        uint64_t   n;           /* ATOM: index; LIST: n; TUPLE: arity; MAP: n; BITSTRING: bits; BLOB: handle;
                                   PID, PORT: the VM's bits */
    };
    const uint8_t *bytes;       /* BIG, BINARY, BITSTRING, STRING: contents; REF: words; *_EXT, FUN, EXPORT: after the tag */
    uint64_t       size;        /* of `bytes`; BLOB: of its contents */
} tsu_token;

/* The integer in n = 1..8 bytes. */
static inline int64_t tsu_int_bytes(const uint8_t *p, unsigned n)
{
    uint64_t v;
    int16_t  two;
    int32_t  four;
    switch (n) {
    case 1: return (int8_t)p[0];
    case 2: memcpy(&two, p, 2); return two;
    case 3: return (int32_t)((uint32_t)p[0] << 8 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 24) >> 8;
    case 4: memcpy(&four, p, 4); return four;
    default:                                     /* two halves, which may overlap */
        v = tsu_get32(p) | (uint64_t)tsu_get32(p + n - 4) << (8 * n - 32);
        return (int64_t)(v << (64 - 8 * n)) >> (64 - 8 * n);
    }
}

/* The INT at p; returns where it ends. NULL: it is something else. */
static inline __attribute__((always_inline)) const uint8_t *tsu_int_get(const uint8_t *p, int64_t *v)
{
    unsigned n;
    if (*p < TSU_TAG_INT) {
        *v = (int64_t)*p - 16;
        return p + 1;
    }
    if (TSU_UNLIKELY(*p >= TSU_TAG_BIGPOS)) return NULL;
    n = *p - TSU_TAG_INT + 1u;
    *v = tsu_int_bytes(p + 1, n);
    return p + 1 + n;
}
/* Reads one token and moves on; its children are the next terms. */
void tsu_term_next_slow(const uint8_t **p, tsu_token *t);
static inline void tsu_term_next(const uint8_t **p, tsu_token *t)
{
    int64_t        v;
    const uint8_t *end = tsu_int_get(*p, &v);
    if (end != NULL) {
        t->kind = TSU_INT; t->flag = false; t->children = 0; t->i = v;
        *p = end;
    } else {
        tsu_term_next_slow(p, t);
    }
}
/* Moves past one whole term; and where that is. */
void tsu_term_skip_slow(const uint8_t **p);
static inline const uint8_t *tsu_term_end(const uint8_t *p)
{
    uint8_t tag = *p;
    if (tag < TSU_TAG_INT) return p + 1;
    if (tag < TSU_TAG_BIGPOS) return p + (tag - TSU_TAG_INT + 2);
    if (tag == TSU_TAG_ATOM4) return p + 5;
    const uint8_t *q = p;          /* so that p may stay in a register */
    tsu_term_skip_slow(&q);
    return q;
}
static inline void tsu_term_skip(const uint8_t **p) { *p = tsu_term_end(*p); }
static inline size_t tsu_term_len(const uint8_t *term) { return (size_t)(tsu_term_end(term) - term); }
/* The bytes of a BINARY or BLOB token. */
static inline const uint8_t *tsu_token_bytes(const tsu_token *t)
{
    return t->kind == TSU_BLOB ? tsu_codec.blob_bytes(t->n) : t->bytes;
}
/* True and the value for an integer within int64. */
static inline bool tsu_term_int64(const uint8_t *term, int64_t *out)
{
    return tsu_int_get(term, out) != NULL;
}
static inline bool tsu_term_is_integer(const uint8_t *term) { return *term <= TSU_TAG_BIGNEG; }

/* OK: `bytes` are exactly one well-formed term, or object. Reads nothing past len; believes
 * nothing. `key`: as a key has to be. Handles cannot be checked. */
tsu_status tsu_term_validate(const uint8_t *bytes, size_t len, bool key);
tsu_status tsu_codec_validate(const uint8_t *bytes, size_t len);

/* Whether the terms in [p, end) have only what keys may have. */
bool tsu_term_is_clean(const uint8_t *p, const uint8_t *end);

/* ---- Objects ---- */

static inline size_t tsu_object_len(const uint8_t *obj)
{
    const uint8_t *p = obj + 1;
    return (size_t)tsu_varint_get(&p);
}
/* Where the elements begin; and the arity. */
static inline const uint8_t *tsu_object_elements(const uint8_t *obj, size_t *arity)
{
    const uint8_t *p = obj + 1;
    tsu_varint_get(&p);
    *arity = obj[0] & TSU_OBJECT_ARITY;
    if (TSU_UNLIKELY(*arity == 15)) *arity = (size_t)tsu_varint_get(&p);
    return p;
}
static inline size_t tsu_object_arity(const uint8_t *obj)
{
    size_t arity;
    tsu_object_elements(obj, &arity);
    return arity;
}
/* Element `pos`, 1 .. arity: its bytes. */
const uint8_t *tsu_object_element_slow(const uint8_t *obj, size_t pos, size_t *len);
static inline const uint8_t *tsu_object_element(const uint8_t *obj, size_t pos, size_t *len)
{
    size_t         arity;
    const uint8_t *p;
    if (TSU_UNLIKELY(pos != 1)) return tsu_object_element_slow(obj, pos, len);
    p = tsu_object_elements(obj, &arity);
    *len = tsu_term_len(p);
    return p;
}
static inline const uint8_t *tsu_object_key(const uint8_t *obj, size_t keypos, size_t *len)
{
    return tsu_object_element(obj, keypos, len);
}
/* The same for who does not want to know how long it is. The first element of a short object begins at its third byte. */
static inline __attribute__((always_inline)) const uint8_t *tsu_object_key_begin(const uint8_t *obj, size_t keypos)
{
    size_t ignored;
    if (TSU_LIKELY(keypos == 1 && obj[1] < 0x80 && (obj[0] & TSU_OBJECT_ARITY) != TSU_OBJECT_ARITY)) return obj + 2;
    return tsu_object_element_slow(obj, keypos, &ignored);
}
/* The handles; count 0 if there are none. */
const uint8_t *tsu_object_handles(const uint8_t *obj, size_t *count);
/* Where the elements end. */
const uint8_t *tsu_object_elements_end(const uint8_t *obj);
bool tsu_terms_end_in_blob(const uint8_t *p, const uint8_t *end);
/* Calls the function for each handle. */
void tsu_object_release(const uint8_t *obj, void (*release)(uint64_t handle));
void tsu_object_retain(const uint8_t *obj, void (*retain)(uint64_t handle));

/* What the handles keep in memory beside the object: bytes of its blobs, or UINT32_MAX if there is anything else. */
uint64_t tsu_object_held_bytes(const uint8_t *obj);

/* =:= of two terms (objects). */
bool tsu_term_same(const uint8_t *a, const uint8_t *b);
bool tsu_object_same(const uint8_t *a, const uint8_t *b);

/* A hash that objects have in common that are the same, whatever their bytes. Of a large binary it sees the beginning. */
uint64_t tsu_object_hash(const uint8_t *obj);

/* A new value for element `pos`; `handles` as in its writer, in token order. */
typedef struct tsu_change {
    size_t          pos;
    const uint8_t  *term;
    size_t          len;
    const uint64_t *handles;
    size_t          handle_count;
    bool            loose;      /* of the writer that wrote it */
} tsu_change;
/* Writes the old object with the changes made; of two at one position the last counts. The
 * writer gets references of its own (tsu_codec.retain) to every handle. Positions are valid. */
tsu_status tsu_object_replace(const uint8_t *old, const tsu_change *changes, size_t count, tsu_writer *w);

/* Replacing one element of an object without handles, straight to where the new object will be. First the element is found;
 * false: the object has handles, or no such element. */
typedef struct tsu_spot {
    const uint8_t *object;
    size_t         len, width;     /* of the object; bytes in which that is written */
    size_t         at, size;       /* the element: how far in, and how long */
} tsu_spot;
bool tsu_object_spot(const uint8_t *object, size_t pos, tsu_spot *spot);
/* How long the object will be with a term of `size` there; 0: too long or too short, its length would take other `width`. */
static inline size_t tsu_spot_len(const tsu_spot *spot, size_t size)
{
    size_t len = spot->len - spot->size + size;
    if (TSU_LIKELY(spot->width == 1)) return len < 0x80 ? len : 0;
    return tsu_varint_size(len) == spot->width && tsu_varint_size(len - 1) == spot->width ? len : 0;
}
/* True and the value, if the element is an integer within int64. */
static inline bool tsu_spot_int64(const tsu_spot *spot, int64_t *out)
{
    const uint8_t *p = spot->object + spot->at;
    uint8_t        tag = *p;
    if (tag < TSU_TAG_INT) *out = (int64_t)tag - 16;
    else if (tag >= TSU_TAG_BIGPOS) return false;
    else if (spot->at + spot->size < 8) *out = tsu_int_bytes(p + 1, tag - TSU_TAG_INT + 1u);
    else *out = (int64_t)tsu_get64(p + spot->size - 8) >> 8 * (TSU_TAG_BIGPOS - 1u - tag);      /* it ends the word */
    return true;
}
/* Writes it to `to`, and over up to 5 bytes before. The term: `word`, little-endian, if `size` is at most 8, or at `term`. */
void tsu_spot_write(const tsu_spot *spot, uint64_t word, const uint8_t *term, size_t size, uint8_t *to);

/* ---- Integers ---- */

/* Both terms are integers. Sign of a - b. */
int tsu_int_compare(const uint8_t *a, const uint8_t *b);
/* Writes a + b. */
void tsu_int_add(const uint8_t *a, const uint8_t *b, tsu_writer *w);

#endif
