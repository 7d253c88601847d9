/* SPDX-License-Identifier: Apache-2.0
 *
 * A fake of NVIDIA's driver, for machines without a GPU: it shows the GPUs that the environment
 * describes, and computes nothing. One library stands in for libcuda.so.1 and libnvidia-ml.so.1.
 *
 *   FAKE_GPUS            how many there are (0)
 *   FAKE_GPU_NAME        what each is called (Fake GPU)
 *   FAKE_GPU_CAPABILITY  90 for compute capability 9.0 (90)
 *   FAKE_GPU_GIB         memory of each (80)
 *   FAKE_CUDA            the newest CUDA that it runs, 13000 for 13.0 (13000)
 *   FAKE_DRIVER          its own version (580.65.06)
 *   FAKE_CUINIT          the error that cuInit gives, such as 999 (0)
 *   FAKE_CRASH           whether cuInit ends the process, as a broken driver may
 */
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NO_DEVICE 100
#define UNKNOWN 999

static const char *text(const char *name, const char *otherwise) {
  const char *value = getenv(name);
  return value ? value : otherwise;
}

static int number(const char *name, int otherwise) {
  const char *value = getenv(name);
  return value ? atoi(value) : otherwise;
}

int cuDriverGetVersion(int *version) {
  *version = number("FAKE_CUDA", 13000);
  return 0;
}

int cuInit(unsigned flags) {
  (void)flags;
  if (getenv("FAKE_CRASH")) raise(SIGSEGV);
  int error = number("FAKE_CUINIT", 0);
  return error || number("FAKE_GPUS", 0) ? error : NO_DEVICE;
}

int cuGetErrorName(int error, const char **name) {
  *name = error == NO_DEVICE ? "CUDA_ERROR_NO_DEVICE" : "CUDA_ERROR_UNKNOWN";
  return 0;
}

int cuDeviceGetCount(int *count) {
  /* As the driver does, of which this is the only variable that it reads. */
  const char *visible = getenv("CUDA_VISIBLE_DEVICES");
  int there = number("FAKE_GPUS", 0);
  if (visible) {
    int named = *visible ? 1 : 0;
    for (; *visible; visible++) named += *visible == ',';
    there = named < there ? named : there;
  }
  *count = there;
  return 0;
}

int cuDeviceGet(int *device, int place) {
  *device = place;
  return 0;
}

int cuDeviceGetName(char *name, int length, int device) {
  (void)device;
  snprintf(name, length, "%s", text("FAKE_GPU_NAME", "Fake GPU"));
  return 0;
}

int cuDeviceTotalMem_v2(size_t *bytes, int device) {
  (void)device;
  *bytes = (size_t)number("FAKE_GPU_GIB", 80) << 30;
  return 0;
}

int cuDeviceGetAttribute(int *value, int attribute, int device) {
  (void)device;
  int capability = number("FAKE_GPU_CAPABILITY", 90);
  *value = attribute == 75 ? capability / 10 : attribute == 76 ? capability % 10 : 0;
  return 0;
}

/* What CUDA's runtime, and so torch, asks first: it finds nothing that works. */
int cuGetProcAddress_v2(const char *name, void **function, int version, unsigned long long flags,
                        int *status) {
  (void)name, (void)version, (void)flags;
  *function = NULL;
  if (status) *status = 1;
  return UNKNOWN;
}

int nvmlInit_v2(void) { return 0; }

int nvmlShutdown(void) { return 0; }

int nvmlSystemGetDriverVersion(char *version, unsigned length) {
  snprintf(version, length, "%s", text("FAKE_DRIVER", "580.65.06"));
  return 0;
}
