/* term.c: walks terms of the VM and encoded terms with explicit stacks, never by recursion. */
#include "nif/term.h"

#include <stdatomic.h>

#define SMALL_MAX (((int64_t)1 << 59) - 1)
#define SMALL_MIN (-((int64_t)1 << 59))
#define HEADER_KIND 0x3f            /* bits of a header word that tell the kind of what is boxed */
#define REF_WORDS_AT 12             /* in a local reference: header, marker, three words */

/* Tags of the external term format that are read or made here. */
enum {
    ETF_PID = 88, ETF_PORT32 = 89, ETF_REF = 90, ETF_SMALL_INT = 97, ETF_INT = 98, ETF_ATOM_LATIN1 = 100,
    ETF_SMALL_TUPLE = 104, ETF_SMALL_BIG = 110, ETF_BIG = 111, ETF_FUN = 112, ETF_EXPORT = 113,
    ETF_SMALL_ATOM_LATIN1 = 115, ETF_ATOM = 118, ETF_SMALL_ATOM = 119, ETF_PORT64 = 120, ETF_BITS = 77,
    ETF_VERSION = 131
};

/* Fixed after load. */
static ERL_NIF_TERM           nil;
static ErlNifResourceType    *blob_type;
static bool                   refs_proven;
static uint64_t               ref_header, magic_header;

static uint64_t header_of(ERL_NIF_TERM boxed)
{
    return *(const uint64_t *)(uintptr_t)(boxed & ~(ERL_NIF_TERM)7);
}

/* A local reference made by make_ref: three words behind a marker. A magic one may have the same header; it
 * has the low half of a pointer where the marker is, and pointers are even. */
#define REF_MARKER 0xffffffffu
static bool ref_is_ordinary(ERL_NIF_TERM ref)
{
    return header_of(ref) == ref_header && tsu_get32((const uint8_t *)(uintptr_t)(ref & ~(ERL_NIF_TERM)7) + 8) == REF_MARKER;
}

/* Bits of the second word: set in what is magic or an alias. An alias may have its process behind three words and
 * hide it (OTP 25): the VM, asked by numbers, knows whether it still leads there. */
#define REF_MARKS 0x30000u

static uint8_t *ref_words(ERL_NIF_TERM ref)
{
    return (uint8_t *)(uintptr_t)(ref & ~(ERL_NIF_TERM)7) + REF_WORDS_AT;
}

/* ---- External term format ---- */

static uint32_t be16(const uint8_t *p) { return (uint32_t)p[0] << 8 | p[1]; }
static uint32_t be32(const uint8_t *p) { return be16(p) << 16 | be16(p + 2); }
static uint64_t be64(const uint8_t *p) { return (uint64_t)be32(p) << 32 | be32(p + 4); }

static void put_be(tsu_writer *w, uint64_t v, unsigned n)
{
    for (unsigned i = n; i-- > 0;) tsu_write_byte(w, (uint8_t)(v >> (8 * i)));
}

#define ATOM_BYTES_MAX 1024         /* 255 characters of at most 4 bytes */

/* Reads an atom: its text as UTF-8, which has room for ATOM_BYTES_MAX. False: no atom. */
static bool etf_atom(const uint8_t **p, uint8_t *text, size_t *len)
{
    const uint8_t *q = *p + 1;
    size_t         n, out = 0;
    bool           latin1 = **p == ETF_ATOM_LATIN1 || **p == ETF_SMALL_ATOM_LATIN1;

    if (**p == ETF_ATOM || **p == ETF_ATOM_LATIN1) { n = be16(q); q += 2; }
    else if (**p == ETF_SMALL_ATOM || **p == ETF_SMALL_ATOM_LATIN1) n = *q++;
    else return false;
    if (n > ATOM_BYTES_MAX || (latin1 && n > 255)) return false;
    for (size_t i = 0; i < n; i++) {
        if (latin1 && q[i] >= 0x80) {
            text[out++] = (uint8_t)(0xc0 | q[i] >> 6);
            text[out++] = (uint8_t)(0x80 | (q[i] & 0x3f));
        } else {
            text[out++] = q[i];
        }
    }
    *p = q + n;
    *len = out;
    return true;
}

static void put_etf_atom(tsu_writer *w, const uint8_t *text, size_t len)
{
    if (len < 256) {
        tsu_write_byte(w, ETF_SMALL_ATOM);
        tsu_write_byte(w, (uint8_t)len);
    } else {
        tsu_write_byte(w, ETF_ATOM);
        put_be(w, len, 2);
    }
    tsu_write_bytes(w, text, len);
}

/* The term that the writer holds, or 0. */
static ERL_NIF_TERM etf_term(ErlNifEnv *env, const tsu_writer *w)
{
    ERL_NIF_TERM term;

    if (w->status != TSU_OK) return 0;
    return enif_binary_to_term(env, w->bytes, w->len, &term, 0) == 0 ? 0 : term;
}

typedef struct node_name {
    uint8_t  text[ATOM_BYTES_MAX];
    size_t   len;
    uint32_t creation;
} node_name;

/* This node, as of now: a fresh reference carries its name. */
static bool local_node(ErlNifEnv *env, node_name *out)
{
    ErlNifBinary   bin;
    const uint8_t *p;
    bool           ok = false;

    if (!enif_term_to_binary(env, enif_make_ref(env), &bin)) return false;
    p = bin.data + 4;
    if (bin.data[1] == ETF_REF && etf_atom(&p, out->text, &out->len)) {
        out->creation = be32(p);
        ok = true;
    }
    enif_release_binary(&bin);
    return ok;
}

static const uint8_t *codec_node(size_t *len, uint32_t *creation)
{
    /* By pointer: room for thread-locals of a library that is loaded late is short. */
    static _Thread_local node_name *name;
    static node_name                nameless;
    ErlNifEnv                      *env = enif_alloc_env();

    if (name == NULL) name = tsu_env_alloc(sizeof *name);
    *len = 0;
    *creation = 0;
    if (env != NULL && name != NULL && local_node(env, name)) {
        *len = name->len;
        *creation = name->creation;
    }
    if (env != NULL) enif_free_env(env);
    return name != NULL ? name->text : nameless.text;
}

/* ---- Texts of atoms ---- */

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
    static _Thread_local uint8_t (*buffers)[ATOM_BYTES_MAX];
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
    if (!etf_atom(&p, text, len)) *len = 0;
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

/* ---- Handles ---- */

typedef struct holder {
    atomic_long  refs;
    ErlNifEnv   *env;
    ERL_NIF_TERM term;
} holder;

static uint64_t holder_create(ERL_NIF_TERM term)
{
    holder *h = tsu_env_alloc(sizeof *h);

    if (h == NULL) return 0;
    h->env = enif_alloc_env();
    if (h->env == NULL) {
        tsu_env_free(h, sizeof *h);
        return 0;
    }
    h->term = enif_make_copy(h->env, term);
    atomic_init(&h->refs, 1);
    return (uint64_t)(uintptr_t)h | 1;
}

static holder *holder_of(uint64_t handle) { return (holder *)(uintptr_t)(handle & ~(uint64_t)1); }

void tsu_nif_handle_retain(uint64_t handle)
{
    if (handle & 1) atomic_fetch_add_explicit(&holder_of(handle)->refs, 1, memory_order_relaxed);
    else enif_keep_resource((void *)(uintptr_t)handle);
}

void tsu_nif_handle_release(uint64_t handle)
{
    if (!(handle & 1)) {
        enif_release_resource((void *)(uintptr_t)handle);
    } else if (atomic_fetch_sub_explicit(&holder_of(handle)->refs, 1, memory_order_acq_rel) == 1) {
        enif_free_env(holder_of(handle)->env);
        tsu_env_free(holder_of(handle), sizeof(holder));
    }
}

static const uint8_t *blob_bytes(uint64_t handle)
{
    return (const uint8_t *)(uintptr_t)handle;
}

/* ---- Encoding ---- */

typedef enum open_kind { OPEN_TUPLE, OPEN_LIST, OPEN_IMPROPER, OPEN_MAP } open_kind;

/* A term whose parts are being written. */
typedef struct open_term {
    open_kind           kind;
    bool                key;            /* MAP: what the writer's flag was before */
    uint64_t            left;           /* parts still to be written */
    const ERL_NIF_TERM *elements;       /* TUPLE: the next; MAP: all keys and values in turn */
    ERL_NIF_TERM        tail;           /* LIST: what is left of it */
    uint64_t            n;              /* MAP: pairs */
    tsu_map_mark       *marks;          /* MAP: n + 1, and behind them the elements; owned */
} open_term;

typedef struct open_stack {
    open_term *at;
    size_t     count, cap;
    open_term  few[16];
} open_stack;

static size_t map_bytes(uint64_t n)
{
    return (size_t)(n + 1) * sizeof(tsu_map_mark) + 2 * (size_t)n * sizeof(ERL_NIF_TERM);
}

static open_term *open_push(open_stack *s, open_kind kind)
{
    open_term *o;

    if (s->count == s->cap) {
        open_term *more = tsu_env_alloc(2 * s->cap * sizeof *more);
        if (more == NULL) return NULL;
        memcpy(more, s->at, s->count * sizeof *more);
        if (s->at != s->few) tsu_env_free(s->at, s->cap * sizeof *more);
        s->at = more;
        s->cap *= 2;
    }
    o = &s->at[s->count++];
    o->kind = kind;
    o->marks = NULL;
    return o;
}

static void encode_bits(ErlNifEnv *env, ERL_NIF_TERM term, tsu_writer *w)
{
    ErlNifBinary bin;

    if (enif_is_binary(env, term)) {
        if (!enif_inspect_binary(env, term, &bin)) { w->status = TSU_NOMEM; return; }
        if (bin.size < TSU_BLOB_BYTES_MIN || w->key) {
            tsu_write_binary(w, bin.data, bin.size);
        } else {
            void *blob = enif_alloc_resource(blob_type, bin.size);
            if (blob == NULL) { w->status = TSU_NOMEM; return; }
            memcpy(blob, bin.data, bin.size);
            tsu_write_blob(w, bin.size, (uint64_t)(uintptr_t)blob);
        }
        return;
    }
    if (!enif_term_to_binary(env, term, &bin)) { w->status = TSU_NOMEM; return; }
    if (bin.data[1] == ETF_BITS)
        tsu_write_bitstring(w, bin.data + 7, (uint64_t)(be32(bin.data + 2) - 1) * 8 + bin.data[6]);
    else
        w->status = TSU_BADARG;
    enif_release_binary(&bin);
}

static void encode_big(ErlNifEnv *env, ERL_NIF_TERM term, tsu_writer *w)
{
    ErlNifSInt64 i;
    ErlNifUInt64 u;
    ErlNifBinary bin;

    if (enif_get_int64(env, term, &i)) { tsu_write_int(w, i); return; }
    if (enif_get_uint64(env, term, &u)) {
        uint8_t bytes[8];
        tsu_put64(bytes, u);
        tsu_write_big(w, false, bytes, 8);
        return;
    }
    if (!enif_term_to_binary(env, term, &bin)) { w->status = TSU_NOMEM; return; }
    if (bin.data[1] == ETF_SMALL_BIG) tsu_write_big(w, bin.data[3] != 0, bin.data + 4, bin.data[2]);
    else if (bin.data[1] == ETF_BIG) tsu_write_big(w, bin.data[6] != 0, bin.data + 7, be32(bin.data + 2));
    else w->status = TSU_BADARG;
    enif_release_binary(&bin);
}

static void put_node(tsu_writer *w, const node_name *node)
{
    uint8_t creation[4];

    tsu_write_byte(w, (uint8_t)node->len);
    tsu_write_byte(w, (uint8_t)(node->len >> 8));
    tsu_write_bytes(w, node->text, node->len);
    tsu_put32(creation, node->creation);
    tsu_write_bytes(w, creation, 4);
}

/* A pid or port of another node. */
static void encode_remote(ErlNifEnv *env, ERL_NIF_TERM term, tsu_writer *w)
{
    ErlNifBinary   bin;
    node_name      node;
    const uint8_t *p;
    uint8_t        number[8];
    uint8_t        tag;

    if (!enif_term_to_binary(env, term, &bin)) { w->status = TSU_NOMEM; return; }
    tag = bin.data[1];
    p = bin.data + 2;
    if ((tag != ETF_PID && tag != ETF_PORT32 && tag != ETF_PORT64) || !etf_atom(&p, node.text, &node.len)) {
        w->status = TSU_BADARG;
    } else if (tag == ETF_PID) {
        node.creation = be32(p + 8);
        tsu_write_byte(w, TSU_TAG_PID_EXT);
        put_node(w, &node);
        tsu_put32(number, be32(p));
        tsu_put32(number + 4, be32(p + 4));
        tsu_write_bytes(w, number, 8);
    } else {
        unsigned size = tag == ETF_PORT32 ? 4 : 8;
        node.creation = be32(p + size);
        tsu_write_byte(w, TSU_TAG_PORT_EXT);
        put_node(w, &node);
        tsu_put64(number, size == 4 ? be32(p) : be64(p));
        tsu_write_bytes(w, number, 8);
    }
    enif_release_binary(&bin);
}

static void encode_ref_slow(ErlNifEnv *env, ERL_NIF_TERM term, tsu_writer *w, bool hold)
{
    ErlNifBinary   bin;
    node_name      node, here;
    const uint8_t *p;
    uint8_t        words[5 * 4];
    unsigned       n;
    bool           local, magic;

    if (!enif_term_to_binary(env, term, &bin)) { w->status = TSU_NOMEM; return; }
    p = bin.data + 4;
    n = bin.data[1] == ETF_REF ? be16(bin.data + 2) : 0;
    if (n < 1 || n > 5 || !etf_atom(&p, node.text, &node.len)) {
        w->status = TSU_BADARG;
        enif_release_binary(&bin);
        return;
    }
    node.creation = be32(p);
    memset(words, 0, sizeof words);
    for (unsigned i = 0; i < n; i++) tsu_put32(words + 4 * i, be32(p + 4 + 4 * i));
    enif_release_binary(&bin);
    if (refs_proven) {
        local = (header_of(term) & HEADER_KIND) == (ref_header & HEADER_KIND);
        magic = header_of(term) == magic_header && !ref_is_ordinary(term);
        if (header_of(term) != ref_header && (tsu_get32(words + 4) & REF_MARKS) == 0) magic = true;    /* held, unknown */
    } else {
        local = magic = local_node(env, &here) && here.len == node.len && here.creation == node.creation &&
                        memcmp(here.text, node.text, node.len) == 0;
        magic = magic && n <= 3;
    }
    while (n > 1 && tsu_get32(words + 4 * n - 4) == 0) n--;
    if (!local) {
        tsu_write_byte(w, TSU_TAG_REF_EXT);
        put_node(w, &node);
        tsu_write_byte(w, (uint8_t)n);
        tsu_write_bytes(w, words, 4 * n);
    } else if (n > 3) {
        tsu_write_byte(w, TSU_TAG_REF_LONG);
        tsu_write_byte(w, (uint8_t)n);
        tsu_write_bytes(w, words, 4 * n);
    } else {
        tsu_write_byte(w, magic ? TSU_TAG_REF_MAGIC : TSU_TAG_REF);
        tsu_write_bytes(w, words, 12);
        if (magic && hold) {
            uint64_t handle = holder_create(term);
            if (handle == 0) w->status = TSU_NOMEM;
            else tsu_write_handle(w, handle);
        }
    }
}

static inline void encode_ref(ErlNifEnv *env, ERL_NIF_TERM term, tsu_writer *w, bool hold)
{
    if (refs_proven && ref_is_ordinary(term)) {
        tsu_write_byte(w, TSU_TAG_REF);
        tsu_write_bytes(w, ref_words(term), 12);
    } else {
        encode_ref_slow(env, term, w, hold);
    }
}

/* Writes the atom that the external term format has at *p. */
static void encode_etf_atom(ErlNifEnv *env, const uint8_t **p, tsu_writer *w)
{
    uint8_t      text[ATOM_BYTES_MAX], buffer[ATOM_BYTES_MAX + 8];
    size_t       len;
    tsu_writer   etf;
    ERL_NIF_TERM atom = 0;

    tsu_writer_init(&etf, buffer, sizeof buffer);
    if (etf_atom(p, text, &len)) {
        tsu_write_byte(&etf, ETF_VERSION);
        put_etf_atom(&etf, text, len);
        atom = etf_term(env, &etf);
    }
    if (atom == 0 || !tsu_nif_is_atom(atom)) w->status = TSU_BADARG;
    else tsu_write_atom(w, atom >> 6);
}

static uint32_t etf_int(const uint8_t **p, bool *ok)
{
    const uint8_t *q = *p;
    uint32_t       v = 0;

    *ok = true;
    if (*q == ETF_SMALL_INT) {
        *p = q + 2;
        return q[1];
    }
    if (*q == ETF_INT) {
        *p = q + 5;
        return be32(q + 1);
    }
    *ok = *q == ETF_SMALL_BIG;
    if (!*ok) return 0;
    for (unsigned i = 0; i < q[1] && i < 4; i++) v |= (uint32_t)q[3 + i] << (8 * i);
    *p = q + 3 + q[1];
    return q[2] != 0 ? 0 - v : v;
}

/* Writes what identifies a fun. Its environment comes back as a tuple, in *environment, or 0 if empty. */
static void encode_fun(ErlNifEnv *env, ERL_NIF_TERM term, tsu_writer *w, ERL_NIF_TERM *environment)
{
    ErlNifBinary   bin;
    tsu_writer     etf;
    uint8_t        buffer[256], fixed[30], unused[ATOM_BYTES_MAX];
    const uint8_t *p, *module;
    size_t         len;
    uint32_t       n, old_index, old_unique;
    bool           ok = false, ok2 = false;

    *environment = 0;
    if (!enif_term_to_binary(env, term, &bin)) { w->status = TSU_NOMEM; return; }
    p = bin.data + 2;
    if (bin.data[1] == ETF_EXPORT) {
        size_t at = w->len;
        tsu_write_byte(w, TSU_TAG_EXPORT);
        tsu_write_byte(w, 0);
        encode_etf_atom(env, &p, w);
        if (w->status == TSU_OK) encode_etf_atom(env, &p, w);
        if (w->status == TSU_OK) w->bytes[at + 1] = p[1];           /* behind ETF_SMALL_INT */
    } else if (bin.data[1] == ETF_FUN) {
        fixed[0] = p[4];
        memcpy(fixed + 1, p + 5, 16);
        tsu_put32(fixed + 17, be32(p + 21));
        n = be32(p + 25);
        fixed[29] = (uint8_t)n;
        module = p += 29;
        if (n <= 255 && etf_atom(&p, unused, &len)) {
            old_index = etf_int(&p, &ok);
            old_unique = ok ? etf_int(&p, &ok2) : 0;
            tsu_put32(fixed + 21, old_index);
            tsu_put32(fixed + 25, old_unique);
            ok = ok && ok2 && *p++ == ETF_PID && etf_atom(&p, unused, &len);
            p += 12;
        }
        if (!ok) {
            w->status = TSU_BADARG;
        } else {
            tsu_write_byte(w, TSU_TAG_FUN);
            tsu_write_bytes(w, fixed, 30);
            encode_etf_atom(env, &module, w);
            if (n > 0) {
                tsu_writer_init(&etf, buffer, sizeof buffer);
                tsu_write_byte(&etf, ETF_VERSION);
                tsu_write_byte(&etf, ETF_SMALL_TUPLE);
                tsu_write_byte(&etf, (uint8_t)n);
                tsu_write_bytes(&etf, p, (size_t)(bin.data + bin.size - p));
                *environment = etf_term(env, &etf);
                if (*environment == 0) w->status = TSU_NOMEM;
                tsu_writer_deinit(&etf);
            }
        }
    } else {
        w->status = TSU_BADARG;
    }
    enif_release_binary(&bin);
}

static void encode_list_begin(ErlNifEnv *env, ERL_NIF_TERM list, tsu_writer *w, open_stack *s)
{
    ERL_NIF_TERM head, tail = list;
    uint64_t     n = 0;
    bool         bytes = true;
    open_term   *o;

    while (enif_get_list_cell(env, tail, &head, &tail)) {
        n++;
        bytes = bytes && (head & ~(ERL_NIF_TERM)0xff0) == 0xf;
    }
    if (bytes && tail == nil) {
        uint8_t *to;
        tsu_write_byte(w, TSU_TAG_STRING);
        tsu_write_varint(w, n);
        if (w->status != TSU_OK || !tsu_writer_room(w, n)) return;
        to = w->bytes + w->len;
        while (enif_get_list_cell(env, list, &head, &list)) *to++ = (uint8_t)(head >> 4);
        w->len += n;
        return;
    }
    tsu_write_list_begin(w, n, tail != nil);
    o = open_push(s, tail == nil ? OPEN_LIST : OPEN_IMPROPER);
    if (o == NULL) { w->status = TSU_NOMEM; return; }
    o->left = n + (tail != nil);
    o->tail = list;
}

static void encode_map_begin(ErlNifEnv *env, ERL_NIF_TERM map, tsu_writer *w, open_stack *s)
{
    ErlNifMapIterator iter;
    size_t            n;
    open_term        *o;
    ERL_NIF_TERM     *pair;

    if (!enif_get_map_size(env, map, &n)) { w->status = TSU_BADARG; return; }
    tsu_write_map_begin(w, n);
    if (n == 0) return;
    o = open_push(s, OPEN_MAP);
    if (o == NULL) { w->status = TSU_NOMEM; return; }
    o->n = n;
    o->left = 2 * n;
    o->key = w->key;
    o->marks = tsu_env_alloc(map_bytes(n));
    if (o->marks == NULL || !enif_map_iterator_create(env, map, &iter, ERL_NIF_MAP_ITERATOR_FIRST)) {
        w->status = TSU_NOMEM;
        return;
    }
    pair = (ERL_NIF_TERM *)(o->marks + n + 1);
    o->elements = pair;
    for (size_t i = 0; i < n; i++) {
        enif_map_iterator_get_pair(env, &iter, &pair[2 * i], &pair[2 * i + 1]);
        enif_map_iterator_next(env, &iter);
    }
    enif_map_iterator_destroy(env, &iter);
}

static inline void encode_immediate(ERL_NIF_TERM term, tsu_writer *w)
{
    if (tsu_nif_is_small(term)) {
        tsu_write_int(w, (int64_t)term >> 4);
    } else if (tsu_nif_is_atom(term)) {
        tsu_write_atom(w, term >> 6);
    } else if (term == nil) {
        tsu_write_nil(w);
    } else {
        uint8_t bytes[9];
        if ((term & 0xf) == 0x3) {
            bytes[0] = TSU_TAG_PID;
        } else if ((term & 0xf) == 0x7) {
            bytes[0] = TSU_TAG_PORT;
        } else {
            w->status = TSU_BADARG;
            return;
        }
        tsu_put64(bytes + 1, term);
        tsu_write_bytes(w, bytes, 9);
    }
}

/* Writes the beginning of a term that takes more than a word; its parts, if any, are pushed. */
static void encode_begin(ErlNifEnv *env, ERL_NIF_TERM term, tsu_writer *w, open_stack *s, bool hold)
{
    const ERL_NIF_TERM *elements;
    int                 arity;
    double              f;
    open_term          *o;
    ERL_NIF_TERM        environment;

    if ((term & 3) == 1) {
        encode_list_begin(env, term, w, s);
        return;
    }
    if (enif_get_tuple(env, term, &arity, &elements)) {
    tuple:
        o = arity == 0 ? NULL : open_push(s, OPEN_TUPLE);
        if (o == NULL) {
            if (arity > 0) w->status = TSU_NOMEM;
            return;
        }
        o->left = (uint64_t)arity;
        o->elements = elements;
        return;
    }
    switch (enif_term_type(env, term)) {
    case ERL_NIF_TERM_TYPE_BITSTRING:
        encode_bits(env, term, w);
        break;
    case ERL_NIF_TERM_TYPE_INTEGER:
        encode_big(env, term, w);
        break;
    case ERL_NIF_TERM_TYPE_FLOAT:
        enif_get_double(env, term, &f);
        tsu_write_float(w, f);
        break;
    case ERL_NIF_TERM_TYPE_REFERENCE:
        encode_ref(env, term, w, hold);
        break;
    case ERL_NIF_TERM_TYPE_MAP:
        encode_map_begin(env, term, w, s);
        break;
    case ERL_NIF_TERM_TYPE_PID: case ERL_NIF_TERM_TYPE_PORT:
        encode_remote(env, term, w);
        break;
    case ERL_NIF_TERM_TYPE_FUN:
        encode_fun(env, term, w, &environment);
        if (w->status == TSU_OK && environment != 0 && enif_get_tuple(env, environment, &arity, &elements)) goto tuple;
        break;
    default:
        w->status = TSU_BADARG;
        break;
    }
}

static void encode(ErlNifEnv *env, ERL_NIF_TERM term, tsu_writer *w, bool hold)
{
    open_stack   s;
    bool         key = w->key;
    ERL_NIF_TERM head;

    s.at = s.few;
    s.count = 0;
    s.cap = sizeof s.few / sizeof s.few[0];
    for (;;) {
        if ((term & 3) == 3) {
            encode_immediate(term, w);
        } else {
            if ((term & 3) == 2 && (header_of(term) & HEADER_KIND) == 0) {
                int                 arity;
                const ERL_NIF_TERM *elements;
                if (enif_get_tuple(env, term, &arity, &elements)) tsu_write_tuple_begin(w, (size_t)arity);
            }
            encode_begin(env, term, w, &s, hold);
        }
        if (w->status != TSU_OK) break;
        while (s.count > 0 && s.at[s.count - 1].left == 0) {
            open_term *o = &s.at[--s.count];
            if (o->kind == OPEN_MAP) {
                w->key = o->key;
                o->marks[o->n] = (tsu_map_mark){w->len, w->handle_count};
                tsu_write_map_end(w, o->marks, (size_t)o->n);
                tsu_env_free(o->marks, map_bytes(o->n));
            }
        }
        if (s.count == 0 || w->status != TSU_OK) break;
        {
            open_term *o = &s.at[s.count - 1];
            switch (o->kind) {
            case OPEN_TUPLE:
                term = *o->elements++;
                break;
            case OPEN_LIST: case OPEN_IMPROPER:
                if (o->kind == OPEN_IMPROPER && o->left == 1) term = o->tail;
                else if (enif_get_list_cell(env, o->tail, &head, &o->tail)) term = head;
                break;
            case OPEN_MAP:
                if (o->left % 2 == 0) {
                    o->marks[o->n - o->left / 2] = (tsu_map_mark){w->len, w->handle_count};
                    w->key = true;
                } else {
                    w->key = o->key;
                }
                term = *o->elements++;
                break;
            }
            o->left--;
        }
    }
    while (s.count > 0) {
        open_term *o = &s.at[--s.count];
        if (o->marks != NULL) tsu_env_free(o->marks, map_bytes(o->n));
    }
    if (s.at != s.few) tsu_env_free(s.at, s.cap * sizeof *s.at);
    w->key = key;
}

tsu_status tsu_nif_encode_term(ErlNifEnv *env, ERL_NIF_TERM term, tsu_writer *w)
{
    if (TSU_LIKELY((term & 3) == 3)) encode_immediate(term, w);
    else encode(env, term, w, true);
    return w->status;
}

tsu_status tsu_nif_encode_key(ErlNifEnv *env, ERL_NIF_TERM term, tsu_writer *w)
{
    if (TSU_LIKELY((term & 3) == 3)) {
        encode_immediate(term, w);
    } else {
        w->key = true;
        encode(env, term, w, false);            /* who looks for a key holds it already */
        w->key = false;
    }
    return w->status;
}

tsu_status tsu_nif_encode_object(ErlNifEnv *env, ERL_NIF_TERM tuple, int keypos, tsu_writer *w)
{
    const ERL_NIF_TERM *elements;
    int                 arity;
    tsu_object_mark     mark;

    if (w->status != TSU_OK) return w->status;
    if (!enif_get_tuple(env, tuple, &arity, &elements) || arity < keypos) return TSU_BADARG;
    tsu_write_object_begin(w, (size_t)arity, &mark);
    for (int i = 0; i < arity && w->status == TSU_OK; i++) {
        if (TSU_LIKELY((elements[i] & 3) == 3)) {
            encode_immediate(elements[i], w);
        } else {
            w->key = i + 1 == keypos;
            encode(env, elements[i], w, true);
            w->key = false;
        }
    }
    tsu_write_object_end(w, (size_t)arity, &mark);
    return w->status;
}

/* ---- Decoding ---- */

/* A term whose parts are being read; they lie in `values` from `base` on. */
typedef struct part {
    tsu_token token;
    uint64_t  left;
    size_t    base;
} part;

typedef struct decoder {
    ErlNifEnv     *env;
    const uint8_t *handles;         /* of the object's trailer: the next, or NULL without an object */
    ERL_NIF_TERM  *values;
    size_t         value_count, value_cap;
    part          *parts;
    size_t         part_count, part_cap;
    ERL_NIF_TERM   few_values[64];
    part           few_parts[12];
} decoder;

static bool value_push(decoder *d, ERL_NIF_TERM value)
{
    if (d->value_count == d->value_cap) {
        ERL_NIF_TERM *more = tsu_env_alloc(2 * d->value_cap * sizeof *more);
        if (more == NULL) return false;
        memcpy(more, d->values, d->value_count * sizeof *more);
        if (d->values != d->few_values) tsu_env_free(d->values, d->value_cap * sizeof *more);
        d->values = more;
        d->value_cap *= 2;
    }
    d->values[d->value_count++] = value;
    return true;
}

static bool part_push(decoder *d, const tsu_token *t)
{
    if (d->part_count == d->part_cap) {
        part *more = tsu_env_alloc(2 * d->part_cap * sizeof *more);
        if (more == NULL) return false;
        memcpy(more, d->parts, d->part_count * sizeof *more);
        if (d->parts != d->few_parts) tsu_env_free(d->parts, d->part_cap * sizeof *more);
        d->parts = more;
        d->part_cap *= 2;
    }
    d->parts[d->part_count++] = (part){*t, t->children, d->value_count};
    return true;
}

static ERL_NIF_TERM make_int(ErlNifEnv *env, int64_t v)
{
    if (TSU_LIKELY(v >= SMALL_MIN && v <= SMALL_MAX)) return (ERL_NIF_TERM)((uint64_t)v << 4 | 0xf);
    return enif_make_int64(env, v);
}

static ERL_NIF_TERM make_big(ErlNifEnv *env, const tsu_token *t)
{
    uint8_t      buffer[272];
    tsu_writer   etf;
    ERL_NIF_TERM term;

    if (t->size <= 8 && !t->flag) return enif_make_uint64(env, tsu_get64(t->bytes));
    tsu_writer_init(&etf, buffer, sizeof buffer);
    tsu_write_byte(&etf, ETF_VERSION);
    tsu_write_byte(&etf, t->size < 256 ? ETF_SMALL_BIG : ETF_BIG);
    put_be(&etf, t->size, t->size < 256 ? 1 : 4);
    tsu_write_byte(&etf, t->flag);
    tsu_write_bytes(&etf, t->bytes, t->size);
    term = etf_term(env, &etf);
    tsu_writer_deinit(&etf);
    return term;
}

static ERL_NIF_TERM make_binary(ErlNifEnv *env, const uint8_t *bytes, size_t size)
{
    ERL_NIF_TERM   term;
    unsigned char *to = enif_make_new_binary(env, size, &term);

    if (to == NULL) return 0;
    memcpy(to, bytes, size);
    return term;
}

static ERL_NIF_TERM make_bits(ErlNifEnv *env, const tsu_token *t)
{
    uint8_t      buffer[256];
    tsu_writer   etf;
    ERL_NIF_TERM term;

    tsu_writer_init(&etf, buffer, sizeof buffer);
    tsu_write_byte(&etf, ETF_VERSION);
    tsu_write_byte(&etf, ETF_BITS);
    put_be(&etf, t->size, 4);
    tsu_write_byte(&etf, (uint8_t)(t->n % 8));
    tsu_write_bytes(&etf, t->bytes, t->size);
    term = etf_term(env, &etf);
    tsu_writer_deinit(&etf);
    return term;
}

/* Of which nodes make references: of 3 words, and aliases of 5. */
static unsigned ref_words_all(unsigned n) { return n <= 3 ? 3 : 5; }

/* Words of a reference, zeros on top again: an alias cut short would lead nowhere. */
static void put_ref_words(tsu_writer *etf, const uint8_t *words, unsigned n)
{
    unsigned all = ref_words_all(n);

    for (unsigned i = 0; i < all; i++) put_be(etf, i < n ? tsu_get32(words + 4 * i) : 0, 4);
}

static ERL_NIF_TERM make_local_ref(ErlNifEnv *env, const uint8_t *words, unsigned n)
{
    uint8_t      buffer[ATOM_BYTES_MAX + 64];
    tsu_writer   etf;
    node_name    node;
    ERL_NIF_TERM term;

    if (!local_node(env, &node)) return 0;
    tsu_writer_init(&etf, buffer, sizeof buffer);
    tsu_write_byte(&etf, ETF_VERSION);
    tsu_write_byte(&etf, ETF_REF);
    put_be(&etf, ref_words_all(n), 2);
    put_etf_atom(&etf, node.text, node.len);
    put_be(&etf, node.creation, 4);
    put_ref_words(&etf, words, n);
    term = etf_term(env, &etf);
    tsu_writer_deinit(&etf);
    return term;
}

static ERL_NIF_TERM make_ref(decoder *d, const tsu_token *t)
{
    ERL_NIF_TERM term;

    if (t->flag && d->handles != NULL) {
        term = enif_make_copy(d->env, holder_of(tsu_get64(d->handles))->term);
        d->handles += 8;
        return term;
    }
    if (t->flag || t->size != 12 || !refs_proven || (tsu_get32(t->bytes + 4) & REF_MARKS) != 0)
        return make_local_ref(d->env, t->bytes, (unsigned)(t->size / 4));
    term = enif_make_ref(d->env);
    memcpy(ref_words(term), t->bytes, 12);      /* nobody else has seen it */
    return term;
}

static ERL_NIF_TERM make_remote(ErlNifEnv *env, const tsu_token *t)
{
    uint8_t        buffer[ATOM_BYTES_MAX + 64];
    tsu_writer     etf;
    size_t         len = (size_t)(t->bytes[0] | t->bytes[1] << 8);
    const uint8_t *node = t->bytes + 2, *p = node + len;
    uint32_t       creation = tsu_get32(p);
    ERL_NIF_TERM   term;

    p += 4;
    tsu_writer_init(&etf, buffer, sizeof buffer);
    tsu_write_byte(&etf, ETF_VERSION);
    if (t->kind == TSU_PID_EXT) {
        tsu_write_byte(&etf, ETF_PID);
        put_etf_atom(&etf, node, len);
        put_be(&etf, tsu_get32(p), 4);
        put_be(&etf, tsu_get32(p + 4), 4);
        put_be(&etf, creation, 4);
    } else if (t->kind == TSU_PORT_EXT) {
        tsu_write_byte(&etf, ETF_PORT64);
        put_etf_atom(&etf, node, len);
        put_be(&etf, tsu_get64(p), 8);
        put_be(&etf, creation, 4);
    } else {
        tsu_write_byte(&etf, ETF_REF);
        put_be(&etf, ref_words_all(*p), 2);
        put_etf_atom(&etf, node, len);
        put_be(&etf, creation, 4);
        put_ref_words(&etf, p + 1, *p);
    }
    term = etf_term(env, &etf);
    tsu_writer_deinit(&etf);
    return term;
}

static void put_atom_of(tsu_writer *etf, ERL_NIF_TERM atom)
{
    size_t         len;
    const uint8_t *text = tsu_nif_atom_text(atom >> 6, &len);

    put_etf_atom(etf, text, len);
}

/* A fun or an external fun from its names and environment, which are the values given. */
static ERL_NIF_TERM make_fun(ErlNifEnv *env, const tsu_token *t, const ERL_NIF_TERM *values)
{
    uint8_t      buffer[512];
    tsu_writer   etf;
    node_name    node;
    ERL_NIF_TERM term = 0;
    unsigned     n = (unsigned)t->children - 1;

    tsu_writer_init(&etf, buffer, sizeof buffer);
    tsu_write_byte(&etf, ETF_VERSION);
    if (t->kind == TSU_EXPORT) {
        tsu_write_byte(&etf, ETF_EXPORT);
        put_atom_of(&etf, values[0]);
        put_atom_of(&etf, values[1]);
        tsu_write_byte(&etf, ETF_SMALL_INT);
        tsu_write_byte(&etf, t->bytes[0]);
    } else {
        if (!local_node(env, &node)) goto done;
        tsu_write_byte(&etf, ETF_FUN);
        put_be(&etf, 0, 4);                         /* size: set below */
        tsu_write_bytes(&etf, t->bytes, 17);
        put_be(&etf, tsu_get32(t->bytes + 17), 4);
        put_be(&etf, n, 4);
        put_atom_of(&etf, values[0]);
        tsu_write_byte(&etf, ETF_INT);
        put_be(&etf, tsu_get32(t->bytes + 21), 4);
        tsu_write_byte(&etf, ETF_INT);
        put_be(&etf, tsu_get32(t->bytes + 25), 4);
        tsu_write_byte(&etf, ETF_PID);              /* its creator: init, as OTP 27 has it for every fun */
        put_etf_atom(&etf, node.text, node.len);
        put_be(&etf, 0, 8);
        put_be(&etf, node.creation, 4);
        if (n > 0) {
            ErlNifBinary bin;
            if (!enif_term_to_binary(env, enif_make_tuple_from_array(env, values + 1, n), &bin)) goto done;
            tsu_write_bytes(&etf, bin.data + 3, bin.size - 3);      /* behind version, tag and arity */
            enif_release_binary(&bin);
        }
        if (etf.status != TSU_OK) goto done;
        for (unsigned i = 0; i < 4; i++) etf.bytes[2 + i] = (uint8_t)((etf.len - 2) >> (8 * (3 - i)));
    }
    term = etf_term(env, &etf);
done:
    tsu_writer_deinit(&etf);
    return term;
}

static ERL_NIF_TERM make_map(ErlNifEnv *env, ERL_NIF_TERM *pairs, size_t n)
{
    ERL_NIF_TERM  few[32], map = 0;
    ERL_NIF_TERM *keys = few;

    if (n == 0) return enif_make_new_map(env);
    if (2 * n > 32) keys = tsu_env_alloc(2 * n * sizeof *keys);
    if (keys == NULL) return 0;
    for (size_t i = 0; i < n; i++) {
        keys[i] = pairs[2 * i];
        keys[n + i] = pairs[2 * i + 1];
    }
    if (!enif_make_map_from_arrays(env, keys, keys + n, n, &map)) map = 0;
    if (keys != few) tsu_env_free(keys, 2 * n * sizeof *keys);
    return map;
}

/* The term whose parts are all there; they leave the stack of values. */
static ERL_NIF_TERM part_close(decoder *d)
{
    part         *o = &d->parts[--d->part_count];
    ERL_NIF_TERM *v = d->values + o->base;
    ERL_NIF_TERM  term;

    switch (o->token.kind) {
    case TSU_TUPLE:
        term = enif_make_tuple_from_array(d->env, v, (unsigned)o->token.n);
        break;
    case TSU_LIST:
        if (!o->token.flag) {
            term = enif_make_list_from_array(d->env, v, (unsigned)o->token.n);
        } else {
            term = v[o->token.n];
            for (uint64_t i = o->token.n; i-- > 0;) term = enif_make_list_cell(d->env, v[i], term);
        }
        break;
    case TSU_MAP:
        term = make_map(d->env, v, (size_t)o->token.n);
        break;
    default:
        term = make_fun(d->env, &o->token, v);
        break;
    }
    d->value_count = o->base;
    return term;
}

/* A token that is a whole term. */
static ERL_NIF_TERM decode_single(decoder *d, const tsu_token *t)
{
    switch (t->kind) {
    case TSU_INT:
        return make_int(d->env, t->i);
    case TSU_BIG:
        return make_big(d->env, t);
    case TSU_FLOAT:
        return enif_make_double(d->env, t->f);
    case TSU_ATOM:
        return tsu_nif_atom(t->n);
    case TSU_NIL:
        return nil;
    case TSU_BINARY:
        return make_binary(d->env, t->bytes, t->size);
    case TSU_BITSTRING:
        return make_bits(d->env, t);
    case TSU_BLOB:
        if (d->handles != NULL) d->handles += 8;
        return enif_make_resource_binary(d->env, (void *)(uintptr_t)t->n, (const void *)(uintptr_t)t->n, t->size);
    case TSU_STRING:
        return enif_make_string_len(d->env, (const char *)t->bytes, t->size, ERL_NIF_LATIN1);
    case TSU_PID: case TSU_PORT:
        return (ERL_NIF_TERM)t->n;
    case TSU_REF:
        return make_ref(d, t);
    case TSU_TUPLE:
        return enif_make_tuple_from_array(d->env, NULL, 0);
    case TSU_MAP:
        return enif_make_new_map(d->env);
    default:
        return make_remote(d->env, t);
    }
}

static ERL_NIF_TERM decode(ErlNifEnv *env, const uint8_t **p, const tsu_token *outer, const uint8_t *handles)
{
    decoder      d;
    tsu_token    t;
    ERL_NIF_TERM term = 0;

    d.env = env;
    d.handles = handles;
    d.values = d.few_values;
    d.value_count = 0;
    d.value_cap = sizeof d.few_values / sizeof d.few_values[0];
    d.parts = d.few_parts;
    d.part_count = 0;
    d.part_cap = sizeof d.few_parts / sizeof d.few_parts[0];
    if (outer != NULL) part_push(&d, outer);
    for (;;) {
        tsu_term_next(p, &t);
        if (t.children > 0) {
            if (!part_push(&d, &t)) { term = 0; break; }
            continue;
        }
        term = decode_single(&d, &t);
        while (d.part_count > 0 && term != 0) {
            if (!value_push(&d, term)) { term = 0; break; }
            if (--d.parts[d.part_count - 1].left > 0) break;
            term = part_close(&d);
        }
        if (d.part_count == 0 || term == 0) break;
    }
    if (d.values != d.few_values) tsu_env_free(d.values, d.value_cap * sizeof *d.values);
    if (d.parts != d.few_parts) tsu_env_free(d.parts, d.part_cap * sizeof *d.parts);
    return term;
}

ERL_NIF_TERM tsu_nif_decode_term(ErlNifEnv *env, const uint8_t **p)
{
    const uint8_t *q = *p;

    if (TSU_LIKELY(*q < TSU_TAG_BIGPOS)) {
        tsu_token t;
        tsu_term_next(p, &t);
        return make_int(env, t.i);
    }
    if (*q == TSU_TAG_ATOM4) {
        *p = q + 5;
        return tsu_nif_atom(tsu_get32(q + 1));
    }
    return decode(env, p, NULL, NULL);
}

ERL_NIF_TERM tsu_nif_decode_object(ErlNifEnv *env, const uint8_t *obj)
{
    ERL_NIF_TERM   values[16];
    size_t         arity, count;
    const uint8_t *p = tsu_object_elements(obj, &arity);
    const uint8_t *handles = NULL;
    tsu_token      outer;

    if (TSU_LIKELY(arity <= 16 && !(obj[0] & TSU_OBJECT_HANDLES))) {
        for (size_t i = 0; i < arity; i++) {
            values[i] = tsu_nif_decode_term(env, &p);
            if (TSU_UNLIKELY(values[i] == 0)) return 0;
        }
        return enif_make_tuple_from_array(env, values, (unsigned)arity);
    }
    if (obj[0] & TSU_OBJECT_HANDLES) handles = tsu_object_handles(obj, &count);
    memset(&outer, 0, sizeof outer);
    outer.kind = TSU_TUPLE;
    outer.n = outer.children = arity;
    return decode(env, &p, &outer, handles);
}

/* ---- Proofs ---- */

static bool prove_small(ErlNifEnv *env)
{
    const int64_t samples[] = {0, 1, -1, 7, 255, -256, 65536, (int64_t)1 << 40, -((int64_t)1 << 40), SMALL_MAX, SMALL_MIN};
    const char   *names[] = {"tsunami", "true", "ok", "undefined"};

    for (size_t i = 0; i < sizeof samples / sizeof samples[0]; i++)
        if (enif_make_int64(env, samples[i]) != (ERL_NIF_TERM)((uint64_t)samples[i] << 4 | 0xf)) return false;
    if ((enif_make_int64(env, SMALL_MAX + 1) & 3) != 2 || (enif_make_int64(env, SMALL_MIN - 1) & 3) != 2) return false;
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        if (!tsu_nif_is_atom(enif_make_atom(env, names[i]))) return false;
    nil = enif_make_list(env, 0);
    if ((nil & 3) != 3 || tsu_nif_is_small(nil) || tsu_nif_is_atom(nil)) return false;
    if ((enif_make_list1(env, nil) & 3) != 1) return false;
    if ((enif_make_tuple1(env, nil) & 3) != 2 || (header_of(enif_make_tuple1(env, nil)) & HEADER_KIND) != 0) return false;
    return (enif_make_double(env, 1.0) & 3) == 2 && (header_of(enif_make_double(env, 1.0)) & HEADER_KIND) != 0;
}

/* A pid (port) of this node with the given numbers. */
static ERL_NIF_TERM sample_local(ErlNifEnv *env, const node_name *node, uint8_t tag, uint64_t a, uint64_t b)
{
    uint8_t      buffer[ATOM_BYTES_MAX + 64];
    tsu_writer   etf;

    tsu_writer_init(&etf, buffer, sizeof buffer);
    tsu_write_byte(&etf, ETF_VERSION);
    tsu_write_byte(&etf, tag);
    put_etf_atom(&etf, node->text, node->len);
    if (tag == ETF_PORT64) {
        put_be(&etf, a, 8);
    } else {
        put_be(&etf, a, 4);
        put_be(&etf, b, 4);
    }
    put_be(&etf, node->creation, 4);
    return etf_term(env, &etf);
}

/* ---- Numbers of local pids and ports ---- */

/* Bits of a word that stand side by side in a number too. The VM keeps the bits of a number in an order that
 * depends on the size of its tables; load finds it out. */
typedef struct bit_run {
    uint8_t from, to, count;
} bit_run;
#define RUNS_MAX 12
typedef struct bit_plan {
    unsigned count;
    bit_run  runs[RUNS_MAX];
} bit_plan;
static bit_plan pid_plan, port_plan;

static uint64_t plan_apply(const bit_plan *plan, uint64_t bits)
{
    uint64_t number = 0;

    for (unsigned i = 0; i < plan->count; i++) {
        const bit_run *r = &plan->runs[i];
        number |= (bits >> r->from & (((uint64_t)1 << r->count) - 1)) << r->to;
    }
    return number;
}

static uint64_t number_by_plan(uint64_t bits, bool pid)
{
    return plan_apply(pid ? &pid_plan : &port_plan, bits);
}

/* What the external term format says. If memory is too short for that, the bits: an order, though not the VM's. */
static uint64_t number_by_etf(uint64_t bits, bool pid)
{
    uint8_t        name[ATOM_BYTES_MAX];
    ErlNifBinary   bin;
    const uint8_t *p;
    size_t         len;
    uint64_t       number = bits;

    if (!enif_term_to_binary(NULL, (ERL_NIF_TERM)bits, &bin)) return bits;
    p = bin.data + 2;
    if (etf_atom(&p, name, &len)) {
        if (pid) number = (uint64_t)be32(p + 4) << 32 | be32(p);
        else number = bin.data[1] == ETF_PORT64 ? be64(p) : be32(p);
    }
    enif_release_binary(&bin);
    return number;
}

static ERL_NIF_TERM sample_id(ErlNifEnv *env, const node_name *node, bool pid, uint64_t number)
{
    if (pid) return sample_local(env, node, ETF_PID, number & UINT32_MAX, number >> 32);
    return sample_local(env, node, ETF_PORT64, number, 0);
}

/* Finds for each bit of a number one of the word's that says the same, and tries what it found. */
static bool plan_make(ErlNifEnv *env, const node_name *node, bool pid, bit_plan *plan)
{
    uint64_t     zero = sample_id(env, node, pid, 0), changes[64], seed = 0x9e3779b97f4a7c15;
    uint64_t     valid = 0;
    ERL_NIF_TERM tag = pid ? 0x3 : 0x7;

    plan->count = 0;
    if ((zero & 0xf) != tag) return false;
    for (unsigned bit = 0; bit < 64; bit++) {
        ERL_NIF_TERM term = sample_id(env, node, pid, (uint64_t)1 << bit);
        changes[bit] = (term & 0xf) == tag ? term ^ zero : 0;       /* 0: no number has this bit */
        if (changes[bit] != 0) valid |= (uint64_t)1 << bit;
    }
    for (unsigned bit = 0; bit < 64; bit++) {
        uint64_t own = changes[bit];
        unsigned from;
        bit_run *last = &plan->runs[plan->count - (plan->count > 0)];

        if (changes[bit] == 0) continue;
        for (unsigned other = 0; other < 64; other++)
            if (other != bit) own &= ~changes[other];
        if (own == 0) return false;
        from = (unsigned)__builtin_ctzll(own);
        if (plan->count > 0 && last->from + last->count == from && last->to + last->count == bit) {
            last->count++;
        } else {
            if (plan->count == RUNS_MAX) return false;
            plan->runs[plan->count++] = (bit_run){(uint8_t)from, (uint8_t)bit, 1};
        }
    }
    if ((valid & 0x7fff) != 0x7fff || plan_apply(plan, zero) != 0) return false;
    for (unsigned i = 0; i < 64; i++) {
        uint64_t     number = seed & valid;
        ERL_NIF_TERM term = sample_id(env, node, pid, number);

        if ((term & 0xf) != tag || plan_apply(plan, term) != number || number_by_etf(term, pid) != number) return false;
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
    }
    return true;
}

/* Whether local pids and ports are words of their own, as an encoding keeps them. */
static bool prove_pids_and_ports(ErlNifEnv *env, const node_name *node)
{
    const uint64_t samples[] = {0, 1, 77, 32767, (uint64_t)1 << 32 | 32767, (uint64_t)8191 << 32 | 1};

    for (size_t i = 0; i < sizeof samples / sizeof samples[0]; i++) {
        ERL_NIF_TERM pid = sample_id(env, node, true, samples[i]), port = sample_id(env, node, false, samples[i] & 32767);

        if ((pid & 0xf) != 0x3 || number_by_etf(pid, true) != samples[i]) return false;
        if ((port & 0xf) != 0x7 || number_by_etf(port, false) != (samples[i] & 32767)) return false;
    }
    return true;
}

bool tsu_nif_is_magic_ref(ERL_NIF_TERM ref)
{
    return header_of(ref) == magic_header && !ref_is_ordinary(ref);
}

/* Whether local references lie in memory as thought, and magic ones can be told from them. */
static bool prove_refs(ErlNifEnv *env)
{
    const char   *foreign = "elsewhere@nohost";
    ERL_NIF_TERM  ref = enif_make_ref(env), other = enif_make_ref(env), magic, remote;
    uint8_t       words[12], buffer[128];
    ErlNifBinary  bin;
    node_name     node;
    const uint8_t *p;
    void         *resource;
    tsu_writer    etf;
    bool          ok;

    if ((ref & 3) != 2 || header_of(ref) != header_of(other)) return false;
    if (header_of(ref) >> 6 != 2) return false;                     /* marker and numbers: 16 bytes */
    if (!enif_term_to_binary(env, ref, &bin)) return false;
    p = bin.data + 4;
    ok = bin.data[1] == ETF_REF && be16(bin.data + 2) == 3 && etf_atom(&p, node.text, &node.len);
    if (ok)
        for (unsigned i = 0; i < 3; i++) tsu_put32(words + 4 * i, be32(p + 4 + 4 * i));
    enif_release_binary(&bin);
    if (!ok || memcmp(words, ref_words(ref), 12) != 0 || enif_is_identical(ref, other)) return false;
    memcpy(ref_words(other), words, 12);
    if (!enif_is_identical(ref, other)) return false;
    resource = enif_alloc_resource(blob_type, 1);
    if (resource == NULL) return false;
    magic = enif_make_resource(env, resource);
    enif_release_resource(resource);
    ref_header = header_of(ref);
    magic_header = header_of(magic);
    if ((tsu_get32(words + 4) & REF_MARKS) != 0) return false;
    if (!ref_is_ordinary(ref) || !ref_is_ordinary(other) || ref_is_ordinary(magic)) return false;
    if ((magic_header & HEADER_KIND) != (ref_header & HEADER_KIND)) return false;
    tsu_writer_init(&etf, buffer, sizeof buffer);
    tsu_write_byte(&etf, ETF_VERSION);
    tsu_write_byte(&etf, ETF_REF);
    put_be(&etf, 3, 2);
    put_etf_atom(&etf, (const uint8_t *)foreign, 16);
    for (unsigned i = 1; i <= 4; i++) put_be(&etf, i, 4);
    remote = etf_term(env, &etf);
    return remote != 0 && (header_of(remote) & HEADER_KIND) != (ref_header & HEADER_KIND);
}

static bool refs_proof, ids_proof;          /* what load found */

unsigned tsu_nif_term_distrust(bool distrust)
{
    refs_proven = refs_proof && !distrust;
    tsu_codec.local_number = ids_proof && !distrust ? number_by_plan : number_by_etf;
    return (unsigned)refs_proof | (unsigned)ids_proof << 1;
}

bool tsu_nif_term_load(ErlNifEnv *env)
{
    node_name node;

    _Static_assert(sizeof(ERL_NIF_TERM) == 8, "words of 64 bits");
    blob_type = enif_open_resource_type(env, NULL, "tsunami_blob", NULL,
                                        ERL_NIF_RT_CREATE | ERL_NIF_RT_TAKEOVER, NULL);
    if (blob_type == NULL) return false;
    if (!prove_small(env) || !local_node(env, &node) || !prove_pids_and_ports(env, &node)) return false;
    refs_proven = refs_proof = prove_refs(env);
    ids_proof = plan_make(env, &node, true, &pid_plan) && plan_make(env, &node, false, &port_plan);
    tsu_codec.local_number = ids_proof ? number_by_plan : number_by_etf;
    tsu_codec.zero_signs_equal = enif_is_identical(enif_make_double(env, 0.0), enif_make_double(env, -0.0)) != 0;
    tsu_codec.atom_text = tsu_nif_atom_text;
    tsu_codec.node = codec_node;
    tsu_codec.blob_bytes = blob_bytes;
    tsu_codec.retain = tsu_nif_handle_retain;
    tsu_codec.release = tsu_nif_handle_release;
    return true;
}
