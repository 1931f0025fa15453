/* term.c: handles, and what has to be found out about this VM before its terms are touched. */
#include "nif/etf.h"
#include "nif/term_inner.h"

tsu_vm_terms tsu_vm;

/* ---- Handles ---- */

uint64_t tsu_holder_create(ERL_NIF_TERM term)
{
    tsu_holder *h = tsu_env_alloc(sizeof *h);

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

void tsu_nif_handle_retain(uint64_t handle)
{
    if (handle & 1) atomic_fetch_add_explicit(&tsu_holder_of(handle)->refs, 1, memory_order_relaxed);
    else enif_keep_resource((void *)(uintptr_t)handle);
}

void tsu_nif_handle_release(uint64_t handle)
{
    if (!(handle & 1)) {
        enif_release_resource((void *)(uintptr_t)handle);
    } else if (atomic_fetch_sub_explicit(&tsu_holder_of(handle)->refs, 1, memory_order_acq_rel) == 1) {
        enif_free_env(tsu_holder_of(handle)->env);
        tsu_env_free(tsu_holder_of(handle), sizeof(tsu_holder));
    }
}

static const uint8_t *blob_bytes(uint64_t handle)
{
    return (const uint8_t *)(uintptr_t)handle;
}

/* ---- This node ---- */

static const uint8_t *codec_node(size_t *len, uint32_t *creation)
{
    /* By pointer: room for thread-locals of a library that is loaded late is short. */
    static _Thread_local tsu_etf_node *name;
    static tsu_etf_node                nameless;
    ErlNifEnv                         *env = enif_alloc_env();

    if (name == NULL) name = tsu_env_alloc(sizeof *name);
    *len = 0;
    *creation = 0;
    if (env != NULL && name != NULL && tsu_etf_local_node(env, name)) {
        *len = name->len;
        *creation = name->creation;
    }
    if (env != NULL) enif_free_env(env);
    return name != NULL ? name->text : nameless.text;
}

/* ---- Proofs ---- */

static bool prove_small(ErlNifEnv *env)
{
    const int64_t samples[] = {0, 1, -1, 7, 255, -256, 65536, (int64_t)1 << 40, -((int64_t)1 << 40),
                               TSU_SMALL_MAX, TSU_SMALL_MIN};
    const char   *names[] = {"tsunami", "true", "ok", "undefined"};

    for (size_t i = 0; i < sizeof samples / sizeof samples[0]; i++)
        if (enif_make_int64(env, samples[i]) != (ERL_NIF_TERM)((uint64_t)samples[i] << 4 | 0xf)) return false;
    if ((enif_make_int64(env, TSU_SMALL_MAX + 1) & 3) != 2) return false;
    if ((enif_make_int64(env, TSU_SMALL_MIN - 1) & 3) != 2) return false;
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        if (!tsu_nif_is_atom(enif_make_atom(env, names[i]))) return false;
    tsu_vm.nil = enif_make_list(env, 0);
    if ((tsu_vm.nil & 3) != 3 || tsu_nif_is_small(tsu_vm.nil) || tsu_nif_is_atom(tsu_vm.nil)) return false;
    if ((enif_make_list1(env, tsu_vm.nil) & 3) != 1) return false;
    if ((enif_make_tuple1(env, tsu_vm.nil) & 3) != 2) return false;
    if ((tsu_header_of(enif_make_tuple1(env, tsu_vm.nil)) & TSU_HEADER_KIND) != 0) return false;
    return (enif_make_double(env, 1.0) & 3) == 2 && (tsu_header_of(enif_make_double(env, 1.0)) & TSU_HEADER_KIND) != 0;
}

/* A pid (port) of this node with the given numbers. */
static ERL_NIF_TERM sample_local(ErlNifEnv *env, const tsu_etf_node *node, uint8_t tag, uint64_t a, uint64_t b)
{
    uint8_t      buffer[TSU_ETF_ATOM_MAX + 64];
    tsu_writer   etf;

    tsu_writer_init(&etf, buffer, sizeof buffer);
    tsu_write_byte(&etf, TSU_ETF_VERSION);
    tsu_write_byte(&etf, tag);
    tsu_etf_put_atom(&etf, node->text, node->len);
    if (tag == TSU_ETF_PORT64) {
        tsu_etf_put(&etf, a, 8);
    } else {
        tsu_etf_put(&etf, a, 4);
        tsu_etf_put(&etf, b, 4);
    }
    tsu_etf_put(&etf, node->creation, 4);
    return tsu_etf_term(env, &etf);
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
    uint8_t        name[TSU_ETF_ATOM_MAX];
    ErlNifBinary   bin;
    const uint8_t *p;
    size_t         len;
    uint64_t       number = bits;

    if (!enif_term_to_binary(NULL, (ERL_NIF_TERM)bits, &bin)) return bits;
    p = bin.data + 2;
    if (tsu_etf_atom(&p, name, &len)) {
        if (pid) number = (uint64_t)tsu_be32(p + 4) << 32 | tsu_be32(p);
        else number = bin.data[1] == TSU_ETF_PORT64 ? tsu_be64(p) : tsu_be32(p);
    }
    enif_release_binary(&bin);
    return number;
}

static ERL_NIF_TERM sample_id(ErlNifEnv *env, const tsu_etf_node *node, bool pid, uint64_t number)
{
    if (pid) return sample_local(env, node, TSU_ETF_PID, number & UINT32_MAX, number >> 32);
    return sample_local(env, node, TSU_ETF_PORT64, number, 0);
}

/* Finds for each bit of a number one of the word's that says the same, and tries what it found. */
static bool plan_make(ErlNifEnv *env, const tsu_etf_node *node, bool pid, bit_plan *plan)
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
static bool prove_pids_and_ports(ErlNifEnv *env, const tsu_etf_node *node)
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
    return tsu_header_of(ref) == tsu_vm.magic_header && !tsu_ref_is_ordinary(ref);
}

/* Whether local references lie in memory as thought, and magic ones can be told from them. */
static bool prove_refs(ErlNifEnv *env)
{
    const char   *foreign = "elsewhere@nohost";
    ERL_NIF_TERM  ref = enif_make_ref(env), other = enif_make_ref(env), magic, remote;
    uint8_t       words[12], buffer[128];
    ErlNifBinary  bin;
    tsu_etf_node     node;
    const uint8_t *p;
    void         *resource;
    tsu_writer    etf;
    bool          ok;

    if ((ref & 3) != 2 || tsu_header_of(ref) != tsu_header_of(other)) return false;
    if (tsu_header_of(ref) >> 6 != 2) return false;                     /* marker and numbers: 16 bytes */
    if (!enif_term_to_binary(env, ref, &bin)) return false;
    p = bin.data + 4;
    ok = bin.data[1] == TSU_ETF_REF && tsu_be16(bin.data + 2) == 3 && tsu_etf_atom(&p, node.text, &node.len);
    if (ok)
        for (unsigned i = 0; i < 3; i++) tsu_put32(words + 4 * i, tsu_be32(p + 4 + 4 * i));
    enif_release_binary(&bin);
    if (!ok || memcmp(words, tsu_ref_words(ref), 12) != 0 || enif_is_identical(ref, other)) return false;
    memcpy(tsu_ref_words(other), words, 12);
    if (!enif_is_identical(ref, other)) return false;
    resource = enif_alloc_resource(tsu_vm.blob_type, 1);
    if (resource == NULL) return false;
    magic = enif_make_resource(env, resource);
    enif_release_resource(resource);
    tsu_vm.ref_header = tsu_header_of(ref);
    tsu_vm.magic_header = tsu_header_of(magic);
    if ((tsu_get32(words + 4) & TSU_REF_MARKS) != 0) return false;
    if (!tsu_ref_is_ordinary(ref) || !tsu_ref_is_ordinary(other) || tsu_ref_is_ordinary(magic)) return false;
    if ((tsu_vm.magic_header & TSU_HEADER_KIND) != (tsu_vm.ref_header & TSU_HEADER_KIND)) return false;
    tsu_writer_init(&etf, buffer, sizeof buffer);
    tsu_write_byte(&etf, TSU_ETF_VERSION);
    tsu_write_byte(&etf, TSU_ETF_REF);
    tsu_etf_put(&etf, 3, 2);
    tsu_etf_put_atom(&etf, (const uint8_t *)foreign, 16);
    for (unsigned i = 1; i <= 4; i++) tsu_etf_put(&etf, i, 4);
    remote = tsu_etf_term(env, &etf);
    return remote != 0 && (tsu_header_of(remote) & TSU_HEADER_KIND) != (tsu_vm.ref_header & TSU_HEADER_KIND);
}

static ERL_NIF_TERM sample_map(ErlNifEnv *env, size_t n)
{
    ERL_NIF_TERM keys[64], values[64], map = 0;

    for (size_t i = 0; i < n; i++) {
        ERL_NIF_TERM number = enif_make_uint64(env, 1000 - i);

        keys[i] = i % 3 == 0 ? number : i % 3 == 1 ? enif_make_tuple1(env, number) : enif_make_double(env, (double)i);
        values[i] = i % 2 == 0 ? number : enif_make_list1(env, number);
    }
    return enif_make_map_from_arrays(env, keys, values, n, &map) ? map : 0;
}

/* Whether a small map is its header, its size, a tuple of its keys, and its values, and a large one is not. */
static bool prove_maps(ErlNifEnv *env)
{
    ERL_NIF_TERM map, value;

    map = sample_map(env, 1);
    if (map == 0) return false;
    tsu_vm.flatmap_header = tsu_header_of(map);
    for (size_t n = 0; n <= 64; n++) {
        const ERL_NIF_TERM *words;

        map = sample_map(env, n);
        if (map == 0 || (map & 3) != 2) return false;
        words = tsu_words_of(map);
        if ((words[0] == tsu_vm.flatmap_header) != (n <= TSU_FLATMAP_MAX)) return false;
        if (n > TSU_FLATMAP_MAX) continue;
        if (words[1] != n || (words[2] & 3) != 2 || tsu_header_of(words[2]) != n << TSU_HEADER_ARITY_SHIFT) return false;
        for (size_t i = 0; i < n; i++)
            if (!enif_get_map_value(env, map, tsu_words_of(words[2])[1 + i], &value) || value != words[3 + i]) return false;
    }
    return true;
}

/* Whether tuples, lists, floats and small maps are to be read in place. */
static bool prove_layouts(ErlNifEnv *env)
{
    const double        floats[] = {0.0, 1.5, -1e300};
    ERL_NIF_TERM        elements[300], list, head, tail;
    const ERL_NIF_TERM *at;
    double              f;
    int                 arity;

    for (size_t i = 0; i < 300; i++) elements[i] = enif_make_uint(env, (unsigned)i);
    for (unsigned n = 0; n <= 300; n += n < 20 ? 1 : 70) {
        ERL_NIF_TERM tuple = enif_make_tuple_from_array(env, elements, n);

        if (tsu_header_of(tuple) != n << TSU_HEADER_ARITY_SHIFT || !enif_get_tuple(env, tuple, &arity, &at)) return false;
        if (arity != (int)n || (n > 0 && at != tsu_words_of(tuple) + 1)) return false;
    }
    for (list = enif_make_list_from_array(env, elements, 300); enif_get_list_cell(env, list, &head, &tail); list = tail)
        if ((list & 3) != 1 || tsu_words_of(list)[0] != head || tsu_words_of(list)[1] != tail) return false;
    tsu_vm.float_header = tsu_header_of(enif_make_double(env, 1.0));
    for (size_t i = 0; i < sizeof floats / sizeof floats[0]; i++) {
        ERL_NIF_TERM term = enif_make_double(env, floats[i]);

        memcpy(&f, tsu_words_of(term) + 1, sizeof f);
        if (tsu_header_of(term) != tsu_vm.float_header || f != floats[i]) return false;
    }
    return prove_maps(env);
}

/* Whether a binary on the heap is its header, its size in bytes or bits, and its bytes. */
static bool prove_binaries(ErlNifEnv *env)
{
    ErlNifBinary bin;

    for (size_t n = 1; n <= 64; n++) {
        ERL_NIF_TERM        term;
        unsigned char      *to = enif_make_new_binary(env, n, &term);
        const ERL_NIF_TERM *words;

        if (to == NULL) return false;
        memset(to, (int)n, n);
        words = tsu_words_of(term);
        if (!enif_inspect_binary(env, term, &bin) || bin.data != (const unsigned char *)(words + 2)) return false;
        if (n == 1) {
            tsu_vm.binary_kind = words[0] & TSU_HEADER_KIND;
            tsu_vm.binary_shift = words[1] == n ? 0 : 3;
        }
        if ((words[0] & TSU_HEADER_KIND) != tsu_vm.binary_kind || words[1] != n << tsu_vm.binary_shift) return false;
        if (words[0] >> TSU_HEADER_ARITY_SHIFT != 1 + (n + 7) / 8) return false;
    }
    /* what lies elsewhere, or is part of another, is of another kind */
    for (size_t n = 128; n <= 4096; n *= 2) {
        ERL_NIF_TERM term, part;

        if (enif_make_new_binary(env, n, &term) == NULL) return false;
        part = enif_make_sub_binary(env, term, 1, n - 1);
        if ((tsu_header_of(term) & TSU_HEADER_KIND) == tsu_vm.binary_kind) return false;
        if ((tsu_header_of(part) & TSU_HEADER_KIND) == tsu_vm.binary_kind) return false;
    }
    return true;
}

static bool refs_proof, ids_proof, layouts_proof, binaries_proof;       /* what load found */

unsigned tsu_nif_term_distrust(bool distrust)
{
    tsu_vm.refs_proven = refs_proof && !distrust;
    tsu_codec.local_number = ids_proof && !distrust ? number_by_plan : number_by_etf;
    tsu_vm.layouts_proven = layouts_proof && !distrust;
    tsu_vm.binaries_proven = binaries_proof && !distrust;
    return (unsigned)refs_proof | (unsigned)ids_proof << 1 | (unsigned)layouts_proof << 2 | (unsigned)binaries_proof << 3;
}

bool tsu_nif_term_load(ErlNifEnv *env)
{
    tsu_etf_node node;

    _Static_assert(sizeof(ERL_NIF_TERM) == 8, "words of 64 bits");
    tsu_vm.blob_type = enif_open_resource_type(env, NULL, "tsunami_blob", NULL,
                                        ERL_NIF_RT_CREATE | ERL_NIF_RT_TAKEOVER, NULL);
    if (tsu_vm.blob_type == NULL) return false;
    if (!prove_small(env) || !tsu_etf_local_node(env, &node) || !prove_pids_and_ports(env, &node)) return false;
    tsu_vm.refs_proven = refs_proof = prove_refs(env);
    tsu_vm.layouts_proven = layouts_proof = prove_layouts(env);
    tsu_vm.binaries_proven = binaries_proof = prove_binaries(env);
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
