/* resource.h: the resource types of this library: who owns what, and what a destructor frees.
 *
 * type               a term of it is           its destructor
 * tsunami_table      a table's tid             frees nothing: a live table keeps its handle, not the reverse
 * tsunami_process    never shown to Erlang     frees nothing; its monitor's down tells of the process's end
 * tsunami_spec       a compiled match specification  lets go of the program and its plans
 * tsunami_view       a table at one instant      lets go of the snapshot, and of the table's handle
 * tsunami_slices     what a call that is cut into slices knows between two of them; frees all of that
 *
 * A type that an earlier instance of the module has opened is taken over.
 */
#ifndef TSU_NIF_RESOURCE_H
#define TSU_NIF_RESOURCE_H

#include <erl_nif.h>
#include <stdbool.h>

extern ErlNifResourceType *tsu_type_table;
extern ErlNifResourceType *tsu_type_process;
extern ErlNifResourceType *tsu_type_slices;
extern ErlNifResourceType *tsu_type_view;
extern ErlNifResourceType *tsu_type_spec;

/* Opens all, on load and on upgrade. False: the VM refused. */
bool tsu_resource_load(ErlNifEnv *env);

#endif
