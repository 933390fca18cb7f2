#include "nn/backend.h"
int main(int c,char**v){struct seki_error e; double a=seki_clock(); struct seki_backend*b=seki_backend_open(v[1],2,SEKI_AUTO_PRECISION,&e); printf("%s %.1f ms %s\n",v[1],1e3*(seki_clock()-a),b?b->ops->name:e.message); seki_backend_close(b);}
